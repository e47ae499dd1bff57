// Locks: the map's is never held while something is mounted, walked or compared; an upper directory
// has one of its own, so that of two who want it one settles it and the other waits.
#include "live_roots.hpp"

#include "file_layer.hpp"

#include <shale/diff.hpp>
#include <shale/mount.hpp>
#include <shale/walk.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <map>
#include <set>

namespace shale::build {

namespace {

using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;
using snapshot::Tree;

// Each layer is asked for a name that is in none.
constexpr std::size_t kMostLayers = 12;
// What overlayfs takes as text of one page, with room for the rest of its options.
constexpr std::size_t kMostPathBytes = 3000;
// Stacks that nobody uses at the moment; each mount in them has a cache of frames.
constexpr std::size_t kMostIdle = 3;
// Larger files are kept for nobody: making them would hold a build up for seconds.
constexpr std::uint64_t kMostFileBytes = 512 << 20;
// A file of which less than one in so many bytes was read is no program that was started.
constexpr std::uint64_t kReadShare = 8;
// An edit of more entries than these is mostly new, so nothing is lost with a mount of all.
constexpr std::size_t kMostEdits = 20'000;

bool can_carry_more(const LiveRoot& root) {
    std::size_t bytes = 0;
    for (const auto& lower : root.layers.lowers)
        bytes += lower.size() + 1;
    return root.can_carry_more && root.layers.lowers.size() < kMostLayers && bytes < kMostPathBytes;
}

// What is kept of RUNs is there twice, in layers and as files.
bool has_room(const std::string& directory) {
    struct statvfs status {};
    return ::statvfs(directory.c_str(), &status) == 0 && status.f_bavail > status.f_blocks / 10;
}

bool is_directory(const Tree& tree, NodeId node) {
    return tree.entry(node).type == FileType::Directory;
}

bool has_links(const Tree& tree, NodeId top) {
    for (NodeId node = top; node < tree.end(top); ++node)
        if (tree.entry(node).link_group != 0) return true;
    return false;
}

// Goes through an upper directory and looks for what makes it show something else than the tree.
class UpperCheck {
  public:
    UpperCheck(const Tree& before, const Tree& after) : before_(before), after_(after) {}

    std::optional<std::uint64_t> run(const std::string& upper) {
        walk::walk(upper, {}, [this](const walk::Entry& entry) {
            bytes_ += bytes_of(entry);
            if (!entry.path.empty() && is_exact_) is_exact_ = take(entry);
        });
        return is_exact_ && are_links_whole() ? std::optional(bytes_) : std::nullopt;
    }

  private:
    // On disk; each name of an inode has its share.
    static std::uint64_t bytes_of(const walk::Entry& entry) {
        constexpr std::uint64_t kBlock = 512;
        const std::uint64_t names = entry.type == FileType::Directory ? 1 : entry.nlink;
        return entry.blocks * kBlock / std::max<std::uint64_t>(names, 1);
    }

    // Of one inode with several names, here or in the tree.
    struct Inode {
        std::uint64_t group = 0;
        std::size_t names = 0, nlink = 0;
    };

    bool take(const walk::Entry& entry) {
        const NodeId was = before_.find(entry.path), is = after_.find(entry.path);
        const bool is_whiteout = entry.type == FileType::CharDevice && entry.device_major == 0 &&
                                 entry.device_minor == 0;
        bool is_opaque = false;
        if (!(is_whiteout && is == kNoNode)) {
            if (is == kNoNode || after_.entry(is).type != entry.type) return false;
            if (!are_attributes_same(entry, after_.entry(is), is_opaque)) return false;
            if (!take_link(entry, after_.entry(is).link_group)) return false;
            if (after_.entry(is).mtime_ns != entry.mtime_ns)
                set_time(entry, after_.entry(is).mtime_ns);
        }
        // What hides a name of an inode does not take it from the count of the others.
        const bool hides = entry.type != FileType::Directory || is_opaque;
        return was == kNoNode || !hides || !has_links(before_, was);
    }

    bool are_attributes_same(const walk::Entry& entry, const snapshot::Entry& wanted,
                             bool& is_opaque) const {
        if (!entry.xattrs) return true;
        for (const Xattr& xattr : *entry.xattrs) {
            if (xattr.name.starts_with(marks_)) {
                const auto mark = xattr.name.substr(marks_.size());
                if (mark == "redirect") return false;  // shows below what lies elsewhere
                is_opaque = is_opaque || (mark == "opaque" && xattr.value == "y");
            } else if (xattr.name == "security.capability" ||
                       !xattr.name.starts_with("security.")) {
                if (std::ranges::find(wanted.xattrs, xattr) == wanted.xattrs.end()) return false;
            }
        }
        return true;
    }

    bool take_link(const walk::Entry& entry, std::uint64_t group) {
        if (entry.type == FileType::Directory || (entry.nlink == 1 && group == 0)) return true;
        auto& inode = inodes_[{entry.dev, entry.ino}];
        if (inode.names++ == 0) inode = {group, 1, entry.nlink};
        return group != 0 && inode.group == group;
    }

    bool are_links_whole() const {
        if (inodes_.empty()) return true;
        std::map<std::uint64_t, std::size_t> members;
        for (NodeId node = 0; node < after_.size(); ++node)
            if (const auto group = after_.entry(node).link_group) ++members[group];
        return std::ranges::all_of(inodes_, [&](const auto& pair) {
            const Inode& inode = pair.second;
            return inode.names == inode.nlink && inode.names == members[inode.group];
        });
    }

    static void set_time(const walk::Entry& entry, std::int64_t mtime_ns) {
        const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(mtime_ns)};
        const std::string name(entry.name);
        if (::utimensat(entry.dir_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
            throw_errno("utimensat", std::string(entry.path));
    }

    const Tree& before_;
    const Tree& after_;
    const std::string marks_ =
        sandbox::overlays_mark_for_users() ? "user.overlay." : "trusted.overlay.";
    std::map<std::pair<std::uint64_t, std::uint64_t>, Inode> inodes_;  // by dev, ino
    bool is_exact_ = true;
    std::uint64_t bytes_ = 0;
};

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
            (is_directory(before, change.before) != is_directory(after, change.after) ||
             before.entry(change.before).link_group != 0))
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

std::optional<std::uint64_t> settle_upper(const std::string& upper, const Tree& before,
                                          const Tree& after) {
    return UpperCheck(before, after).run(upper);
}

std::shared_ptr<const LiveRoot> LiveRoots::show(const LoadedRoot& root) {
    if (auto known = find(root.tree->digest())) return known;
    return put(root.tree->digest(), make(root, 0));
}

std::shared_ptr<const LiveRoot> LiveRoots::make(const LoadedRoot& root, std::size_t depth) {
    if (auto unpacked = find_unpacked(root, depth)) return unpacked;
    if (auto made = find_made(root, depth)) return made;
    return mount_whole(root);
}

std::shared_ptr<const LiveRoot> LiveRoots::show_whole(const LoadedRoot& root) {
    auto live = mount_whole(root);
    Known replaced;
    const std::lock_guard lock(mutex_);
    replaced = std::exchange(known_[root.tree->digest()], {live, ++uses_, nullptr});
    return live;
}

std::shared_ptr<const LiveRoot> LiveRoots::find(const Digest& tree) {
    Known known;
    {
        const std::lock_guard lock(mutex_);
        const auto at = known_.find(tree);
        if (at == known_.end()) return nullptr;
        at->second.last_used = ++uses_;
        known = at->second;
    }
    if (!known.upper) return known.root;
    Unsettled& upper = *known.upper;
    const std::lock_guard settling(upper.mutex);
    if (!upper.is_settled) try {
            upper.is_settled = true;
            upper.bytes =
                settle_upper(known.root->layers.lowers.front(), *upper.before, *upper.after);
        } catch (const Error& error) {  // a file that may not be touched; a mount of all will do
            log(LogLevel::Debug, std::string("not a layer for the next RUN: ") + error.what());
        }
    if (upper.bytes) return known.root;
    const std::lock_guard lock(mutex_);
    if (const auto at = known_.find(tree); at != known_.end() && at->second.root == known.root)
        known_.erase(at);  // `known` still has it
    return nullptr;
}

// On what it was made of, if that is there and an edit is all that lies between.
std::shared_ptr<const LiveRoot> LiveRoots::find_made(const LoadedRoot& root, std::size_t depth) {
    const auto before = tree_before_edit(root.tree->digest());
    if (!before) return nullptr;
    auto below = find(before->digest());
    if (!below && unpacked_.has(before->digest()))
        below = find_unpacked({before, root.sources}, depth + 1);
    if (!below || !can_carry_more(*below)) return nullptr;
    auto added = tree_of_edit(*before, *root.tree);
    if (!added) return nullptr;
    auto live = mount(std::make_shared<const Tree>(std::move(*added)), root.sources);
    auto& lowers = live->layers.lowers;
    lowers.insert(lowers.end(), below->layers.lowers.begin(), below->layers.lowers.end());
    live->layers.data = below->layers.data;
    live->below = below;
    return live;
}

// Of an edit of this build, or, if what was edited is unpacked, of an earlier one.
LiveRoots::TreePointer LiveRoots::tree_before_edit(const Digest& edited) {
    {
        const std::lock_guard lock(mutex_);
        if (const auto edit = made_of_.find(edited); edit != made_of_.end()) return edit->second;
    }
    const auto origin = unpacked_.origin_of(edited);
    return origin ? stored_tree(*origin) : nullptr;
}

LiveRoots::TreePointer LiveRoots::stored_tree(const Digest& digest) const {
    try {
        return store_.tree(digest);
    } catch (const Error&) {  // collected
        return nullptr;
    }
}

// What an earlier build's RUN left, on what that stood on.
std::shared_ptr<const LiveRoot> LiveRoots::find_unpacked(const LoadedRoot& root,
                                                         std::size_t depth) {
    if (depth >= kMostLayers) return nullptr;
    try {
        auto step = unpacked_.find(root.tree->digest());
        if (!step) return nullptr;
        const LoadedRoot before{stored_tree(step->before), root.sources};
        if (!before.tree) return nullptr;
        // It has the sources of what is above, which hold what can be seen from there. They may
        // lack what that hides, so nobody else is shown this.
        auto below = find(step->before);
        if (!below) below = make(before, depth + 1);
        if (!can_carry_more(*below)) return nullptr;
        auto live = std::make_shared<LiveRoot>();
        live->layers = below->layers;
        live->layers.lowers.insert(live->layers.lowers.begin(), step->upper);
        live->lease = std::move(step->lease);
        live->below = std::move(below);
        return live;
    } catch (const Error& error) {
        log(LogLevel::Debug, std::string("an unpacked step is not used: ") + error.what());
        return nullptr;
    }
}

// Somebody may have been faster; then theirs is used.
std::shared_ptr<const LiveRoot> LiveRoots::put(const Digest& tree,
                                               std::shared_ptr<const LiveRoot> root) {
    std::vector<Known> dropped;  // unmounted when the lock is free again
    std::shared_ptr<const LiveRoot> shown;
    {
        const std::lock_guard lock(mutex_);
        const auto [at, is_new] = known_.try_emplace(tree, Known{root, 0, nullptr});
        at->second.last_used = ++uses_;
        shown = at->second.root;
        drop_idle(dropped);
    }
    for (const Known& known : dropped)
        unpack_for_later(known);
    return shown;
}

std::shared_ptr<LiveRoot> LiveRoots::mount(TreePointer tree, const std::vector<Digest>& sources) {
    auto live = std::make_shared<LiveRoot>();
    live->scratch.emplace(store_.scratch("live-"));
    live->view = std::make_shared<mount::View>(std::move(tree), store_.content_index(sources),
                                               store_.framed());
    live->mounted = mounter_.mount(live->view, live->scratch->path());
    live->layers = live->mounted->base();
    live->can_carry_more = live->layers.data.empty();  // a metadata image must be alone in front
    const std::lock_guard lock(mutex_);
    views_.push_back(live->view);
    return live;
}

std::shared_ptr<LiveRoot> LiveRoots::mount_whole(const LoadedRoot& root) {
    auto live = mount(root.tree, root.sources);
    // A user's overlay follows no notes.
    if (sandbox::overlays_mark_for_users() || !live->layers.data.empty()) return live;
    add_file_layer(*live);
    return live;
}

namespace {

// What a file layer is made of, and what a RUN would lay over it, which is looked at once.
struct FileLayerPlace {
    explicit FileLayerPlace(const std::string& scratch)
        : notes(join_path(scratch, "notes")), data(join_path(scratch, "data")),
          upper(join_path(scratch, "upper")), work(join_path(scratch, "work")) {
        for (const auto& directory : {notes, data, upper, work})
            make_directories(directory);
    }
    sandbox::OverlayLayers in_front_of(const sandbox::OverlayBase& base) const {
        sandbox::OverlayLayers layers{base, upper, work};
        layers.lowers.insert(layers.lowers.begin(), notes);
        layers.data.push_back(data);
        layers.notes = true;
        return layers;
    }
    const std::string notes, data, upper, work;
};

}  // namespace

void LiveRoots::add_file_layer(LiveRoot& live) const {
    const Tree& tree = live.view->tree();
    const auto is_kept = [&](const mount::View::LargeFile& file) {
        const auto entry = tree.entry(file.node);
        return entry.link_group == 0 && contents_.has(entry.content, entry.size);
    };
    auto large = live.view->large_files();
    std::erase_if(large, [&](const auto& file) { return !is_kept(file); });
    if (large.empty()) return;
    try {
        live.files.emplace(store_.scratch("files-"));
        const FileLayerPlace place(live.files->path());
        std::vector<NotedFile> files;
        for (const auto& file : large) {
            const auto entry = tree.entry(file.node);
            NotedFile noted{file.node, random_hex(16) + "-" + std::to_string(file.node)};
            if (contents_.link(entry.content, entry.size, join_path(place.data, noted.data)))
                files.push_back(std::move(noted));
        }
        write_file_layer(tree, files, place.notes);
        const auto layers = place.in_front_of(live.layers);
        sandbox::mount_overlay_detached(layers);  // or this kernel cannot do it
        live.layers = layers;
    } catch (const Error& error) {
        live.files.reset();
        log(LogLevel::Debug, std::string("large files are read through FUSE: ") + error.what());
    }
}

bool LiveRoots::can_follow_notes() const {
    if (sandbox::overlays_mark_for_users()) return false;
    try {
        const TempDir scratch = store_.scratch("notes-");
        const FileLayerPlace place(scratch.path());
        const std::string base = join_path(scratch.path(), "base");
        make_directories(base);
        sandbox::mount_overlay_detached(place.in_front_of({{base}, {}}));
        return true;
    } catch (const Error&) {  // data-only layers came with Linux 6.7, as far as we use them
        return false;
    }
}

// Best effort: nothing depends on it.
void LiveRoots::keep_large_files(mount::View& view) {
    for (const auto& file : view.large_files())
        try {
            const auto entry = view.tree().entry(file.node);
            if (file.bytes_read < mount::View::kLargeBytes ||
                file.bytes_read < entry.size / kReadShare || entry.size > kMostFileBytes ||
                entry.link_group != 0 || contents_.has(entry.content, entry.size))
                continue;
            if (!can_follow_notes()) return;
            contents_.put(entry.content, entry.size, view.contents().open(entry.content));
        } catch (const std::exception& error) {
            log(LogLevel::Debug, std::string("a large file is not kept: ") + error.what());
        }
}

void LiveRoots::keep(std::shared_ptr<const LiveRoot> below, Left left) {
    const Digest digest = left.after->digest();
    if (digest == left.before->digest() || !can_carry_more(*below) ||
        !has_room(left.scratch.path()))
        return;
    auto live = std::make_shared<LiveRoot>();
    live->scratch.emplace(std::move(left.scratch));
    live->layers = below->layers;
    live->can_carry_more = below->can_carry_more;
    live->layers.lowers.insert(live->layers.lowers.begin(), left.upper);
    live->below = std::move(below);
    auto unsettled = std::make_shared<Unsettled>();
    unsettled->name = std::move(left.name);
    unsettled->before = std::move(left.before);
    unsettled->after = std::move(left.after);
    std::vector<Known> dropped;
    {
        const std::lock_guard lock(mutex_);
        // If there is one already, `live` is removed when the lock is free again.
        known_.try_emplace(digest, Known{live, ++uses_, std::move(unsettled)});
        drop_idle(dropped);
    }
    for (const Known& known : dropped)
        unpack_for_later(known);
}

// Best effort: nothing depends on it. Of no other use any more, or it would not be dropped.
void LiveRoots::unpack_for_later(const Known& known) {
    if (!known.upper) return;
    Unsettled& upper = *known.upper;
    try {
        const std::lock_guard settling(upper.mutex);
        if (!upper.bytes) return;
        unpacked_.put(upper.after->digest(), {upper.before->digest(), *upper.bytes, upper.name},
                      known.root->layers.lowers.front());
    } catch (const std::exception& error) {
        log(LogLevel::Debug, std::string("a step is not kept unpacked: ") + error.what());
    }
}

void LiveRoots::note_edit(const TreePointer& before, const Tree& after) {
    const auto& was = before->digest();
    if (was == after.digest()) return;
    const bool is_unpacked = unpacked_.has(was);
    const std::lock_guard lock(mutex_);
    const auto earlier = made_of_.find(was);
    const bool is_shown = is_unpacked || known_.contains(was);
    if (!is_shown && earlier == made_of_.end()) return;
    // Of several edits in a row, what the first was made of.
    made_of_[after.digest()] = is_shown ? before : TreePointer(earlier->second);
}

LiveRoots::~LiveRoots() {
    for (const auto& [digest, known] : known_)  // of a build that failed
        unpack_for_later(known);
}

void LiveRoots::clear() {
    std::vector<std::shared_ptr<mount::View>> views;
    std::map<Digest, TreePointer> made_of;
    std::set<Digest> of_runs;
    {
        std::map<Digest, Known> dropped;  // before files are made: on disk twice until then
        {
            const std::lock_guard lock(mutex_);
            dropped.swap(known_);
            made_of.swap(made_of_);
            views.swap(views_);
        }
        for (const auto& [digest, known] : dropped) {
            if (known.upper) of_runs.insert(digest);
            unpack_for_later(known);
        }
    }
    for (const auto& [edited, before] : made_of)
        try {
            // What a RUN left is there itself, or nowhere.
            if (!of_runs.contains(edited)) unpacked_.note_edit(edited, before->digest());
        } catch (const std::exception& error) {
            log(LogLevel::Debug, std::string("an edit is not noted: ") + error.what());
        }
    for (const auto& view : views)
        keep_large_files(*view);
}

void LiveRoots::drop_idle(std::vector<Known>& dropped) {
    const auto is_idle = [](const auto& known) { return known.second.root.use_count() == 1; };
    for (auto idle = std::ranges::count_if(known_, is_idle);
         idle > static_cast<std::ptrdiff_t>(kMostIdle); --idle) {
        auto oldest = known_.end();
        for (auto at = known_.begin(); at != known_.end(); ++at)
            if (is_idle(*at) &&
                (oldest == known_.end() || at->second.last_used < oldest->second.last_used))
                oldest = at;
        dropped.push_back(std::move(oldest->second));
        known_.erase(oldest);
    }
}

}  // namespace shale::build
