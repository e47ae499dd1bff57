#include "live_roots.hpp"

#include <shale/diff.hpp>
#include <shale/mount.hpp>
#include <shale/walk.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

namespace shale::build {

namespace {

using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;
using snapshot::Tree;

// Each layer is asked for a name that is in none.
constexpr std::size_t kMostLayers = 24;
// Roots that nobody uses at the moment; each holds a cache of frames or a directory on disk.
constexpr std::size_t kMostIdle = 8;
// An edit of more entries than these is mostly new, so nothing is lost with a mount of all.
constexpr std::size_t kMostEdits = 20'000;

bool is_whiteout(const walk::Entry& entry) {
    return entry.type == FileType::CharDevice && entry.device_major == 0 && entry.device_minor == 0;
}

void set_time(const walk::Entry& entry, std::int64_t mtime_ns) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    const std::int64_t second = whole_seconds(mtime_ns);
    const timespec times[2] = {{0, UTIME_OMIT}, {second / kSecond, mtime_ns - second}};
    const std::string name(entry.name);
    if (::utimensat(entry.dir_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        throw_errno("utimensat", std::string(entry.path));
}

bool is_directory(const Tree& tree, NodeId node) {
    return tree.entry(node).type == FileType::Directory;
}

}  // namespace

std::optional<Tree> tree_of_edit(const Tree& before, const Tree& after) {
    if (after.size() > before.size() + kMostEdits) return std::nullopt;
    const auto changes = diff::compare(before, after);
    if (changes.size() > kMostEdits) return std::nullopt;
    snapshot::TreeBuilder builder;
    std::set<NodeId> put;
    const auto add = [&](NodeId node) {
        if (put.insert(node).second) builder.put(after.path(node), after.entry(node).spec());
    };
    add(kRoot);
    for (const auto& change : changes) {
        if (change.kind == diff::ChangeKind::Removed) return std::nullopt;
        if (after.entry(change.after).link_group != 0) return std::nullopt;
        if (change.before != kNoNode &&
            is_directory(before, change.before) != is_directory(after, change.after))
            return std::nullopt;
        std::vector<NodeId> parents;
        for (NodeId at = after.parent(change.after); at != kNoNode && !put.contains(at);
             at = after.parent(at))
            parents.push_back(at);
        std::for_each(parents.rbegin(), parents.rend(), add);
        add(change.after);
    }
    return builder.finish();
}

bool settle_upper(const std::string& upper, const Tree& tree) {
    bool is_all_known = true;
    walk::Options options;
    options.read_xattrs = false;
    walk::walk(upper, options, [&](const walk::Entry& entry) {
        if (entry.path.empty()) return;  // whoever mounts dresses the root
        const NodeId node = tree.find(entry.path);
        if (is_whiteout(entry) && node == kNoNode) return;
        is_all_known = is_all_known && node != kNoNode && tree.entry(node).type == entry.type;
        if (is_all_known && tree.entry(node).mtime_ns != entry.mtime_ns)
            set_time(entry, tree.entry(node).mtime_ns);
    });
    return is_all_known;
}

std::shared_ptr<const LiveRoot> LiveRoots::show(const LoadedRoot& root) {
    Roots dropped;  // unmounted when the lock is free again
    const std::lock_guard lock(mutex_);
    auto live = find(root.tree->digest(), dropped);
    if (!live) {
        live = make(root, dropped);
        known_[root.tree->digest()] = {live, ++uses_, nullptr};
    }
    drop_idle(dropped);
    return live;
}

std::shared_ptr<LiveRoot> LiveRoots::find(const Digest& tree, Roots& dropped) {
    const auto at = known_.find(tree);
    if (at == known_.end()) return nullptr;
    Known& known = at->second;
    if (known.unsettled && !settle_upper(known.root->layers.lowers.front(), *known.unsettled)) {
        dropped.push_back(std::move(known.root));
        known_.erase(at);
        return nullptr;
    }
    known.unsettled.reset();
    known.last_used = ++uses_;
    return known.root;
}

std::shared_ptr<LiveRoot> LiveRoots::make(const LoadedRoot& root, Roots& dropped) {
    const auto edit = made_of_.find(root.tree->digest());
    if (edit == made_of_.end()) return mount(root.tree, root.sources);
    const auto below = find(edit->second->digest(), dropped);
    if (!below || below->layers.lowers.size() >= kMostLayers || !below->layers.data.empty())
        return mount(root.tree, root.sources);
    auto added = tree_of_edit(*edit->second, *root.tree);
    if (!added) return mount(root.tree, root.sources);
    auto live = mount(std::make_shared<const Tree>(std::move(*added)), root.sources);
    auto& lowers = live->layers.lowers;
    lowers.insert(lowers.end(), below->layers.lowers.begin(), below->layers.lowers.end());
    live->below = below;
    return live;
}

std::shared_ptr<LiveRoot> LiveRoots::mount(std::shared_ptr<const Tree> tree,
                                           const std::vector<Digest>& sources) {
    auto live = std::make_shared<LiveRoot>();
    live->scratch.emplace(store_.scratch("live-"));
    live->mounted =
        mounter_.mount(std::make_shared<mount::View>(std::move(tree), store_.content_index(sources),
                                                     store_.framed()),
                       live->scratch->path());
    live->layers = live->mounted->base();
    return live;
}

void LiveRoots::keep(std::shared_ptr<const LiveRoot> below, std::shared_ptr<const Tree> tree,
                     TempDir scratch, const std::string& upper) {
    Roots dropped;
    const std::lock_guard lock(mutex_);
    const Digest digest = tree->digest();
    if (below->layers.lowers.size() >= kMostLayers || !below->layers.data.empty() ||
        known_.contains(digest))
        return;
    auto live = std::make_shared<LiveRoot>();
    live->scratch.emplace(std::move(scratch));
    live->layers.lowers = below->layers.lowers;
    live->layers.lowers.insert(live->layers.lowers.begin(), upper);
    live->below = std::move(below);
    known_[digest] = {std::move(live), ++uses_, std::move(tree)};
    drop_idle(dropped);
}

void LiveRoots::note_edit(const std::shared_ptr<const Tree>& before, const Tree& after) {
    const std::lock_guard lock(mutex_);
    const auto& was = before->digest();
    if (was == after.digest() || !(known_.contains(was) || made_of_.contains(was))) return;
    // Of several edits in a row, what the first was made of.
    const auto earlier = made_of_.find(was);
    made_of_[after.digest()] =
        known_.contains(was) || earlier == made_of_.end() ? before : earlier->second;
}

void LiveRoots::drop_idle(Roots& dropped) {
    const auto is_idle = [](const auto& known) { return known.second.root.use_count() == 1; };
    for (auto idle = std::ranges::count_if(known_, is_idle);
         idle > static_cast<std::ptrdiff_t>(kMostIdle); --idle) {
        auto oldest = known_.end();
        for (auto at = known_.begin(); at != known_.end(); ++at)
            if (is_idle(*at) &&
                (oldest == known_.end() || at->second.last_used < oldest->second.last_used))
                oldest = at;
        dropped.push_back(std::move(oldest->second.root));
        known_.erase(oldest);
    }
}

}  // namespace shale::build
