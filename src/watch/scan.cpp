// A snapshot with the help of a watcher: scan what changed, edit the last full snapshot.
//
// What is looked at are the paths the watcher named and the directories above them, of which
// nothing else is asked, and every path of a file that had several names. If a file that was looked
// at turns out to have several names and was not known for it, another name of it may lie anywhere,
// and only a full walk finds it.
//
// The base and its token stay as they are while few paths have changed since; an incremental
// snapshot writes nothing. When many have, the new tree becomes the base.
#include "base_snapshot.hpp"
#include "socket.hpp"

#include <shale/watch.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

namespace shale::watch {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::ScanOptions;
using snapshot::ScanStats;
using snapshot::Tree;

// Changes since the base after which it is written anew, and linked paths beyond which a full walk
// is no dearer.
constexpr std::size_t kRebaseAfter = 2000, kMaxLinked = 20'000;

// What decides what a scan yields, apart from the directory.
std::string variant_of(const ScanOptions& options, const std::string& rules) {
    return std::string(options.zero_owner ? "zero-owner " : "") +
           (options.keep_sockets ? "sockets " : "") +
           (options.walk.cross_mounts ? "" : "one-file-system ") +
           (options.walk.read_xattrs ? "xattrs " : "") + rules;
}

// Functions cannot be compared with those of the last time, but their names can.
bool can_be_incremental(const ScanOptions& options, const std::string& rules) {
    const bool has_functions = options.walk.filter || options.walk.keep_xattr;
    return (!has_functions || !rules.empty()) && !options.skip_content;
}

// Notes the paths of regular files with several names on the way.
ScanOptions noting_links(ScanOptions options, std::vector<std::string>& linked) {
    options.skip_content = [&linked](const walk::Entry& entry) {
        if (entry.nlink > 1) linked.emplace_back(entry.path);
        return false;
    };
    return options;
}

// skip_content is asked for one name of an inode only; the tree knows the others. Devices and
// fifos are few, and asked for themselves.
std::vector<std::string> all_linked(const std::string& root, const Tree& tree,
                                    std::vector<std::string> noted) {
    std::set<std::string> linked(noted.begin(), noted.end());
    for (NodeId node = 1; node < tree.size(); ++node) {
        const auto entry = tree.entry(node);
        struct stat status {};
        const bool is_plain = entry.type == FileType::Regular ||
                              entry.type == FileType::Directory || entry.type == FileType::Symlink;
        if (entry.link_group != 0 ||
            (!is_plain && (::lstat(join_path(root, tree.path(node)).c_str(), &status) != 0 ||
                           status.st_nlink > 1)))
            linked.insert(tree.path(node));
    }
    return {linked.begin(), linked.end()};
}

class Incremental {
  public:
    Incremental(const std::string& root, const BaseSnapshot& base, const Answer& answer,
                const ScanOptions& options)
        : root_(root), base_(base), options_(options) {
        for (const Change& change : answer.changes)
            add(change.path, change.with_subtree);
        for (const auto& path : base.linked)
            add(path, false);
        find_wanted();
    }

    std::size_t paths() const { return dirty_.size(); }

    // nullopt, and `why`, if only a full walk can tell.
    std::optional<Tree> run(ScanStats* stats, std::string& why) {
        std::vector<std::string> linked;
        ScanOptions options = noting_links(options_, linked);
        options.stat_cache = nullptr;  // loading it would cost more than reading what changed
        options.walk.filter_is_concurrent = false;
        options.walk.filter = [this](std::string_view path, bool is_directory) {
            return decide(path, is_directory);
        };
        options.walk.only = [this](std::string_view directory) {
            const auto found = wanted_.find(directory);
            return found == wanted_.end() ? nullptr : &found->second;
        };
        const Tree seen = snapshot::scan(root_, options, stats);
        if (!left_out_.empty()) {
            why = "'" + left_out_ + "' is left out, but not all that is below it";
            return std::nullopt;
        }
        for (const auto& path : all_linked(root_, seen, std::move(linked)))
            if (!std::binary_search(base_.linked.begin(), base_.linked.end(), path)) {
                why = "'" + path + "' has several names now";
                return std::nullopt;
            }
        return merge(seen);
    }

  private:
    void add(const std::string& path, bool with_subtree) {
        bool& subtree = dirty_[path];
        subtree |= with_subtree;
        if (subtree) subtrees_.insert(path);
        for (auto slash = path.find('/'); slash != std::string::npos;
             slash = path.find('/', slash + 1))
            above_.insert(path.substr(0, slash));
    }

    // Which names lead to what is dirty, of every directory on the way. Of one that is to be looked
    // through there is no such list, and of one that changed itself, and nothing in it, an empty
    // one.
    void find_wanted() {
        std::map<std::string, std::set<std::string>, std::less<>> names = {{"", {}}};
        for (const auto& [path, with_subtree] : dirty_) {
            if (!with_subtree) names[path];
            for (std::string_view left = path; !left.empty();) {
                const auto slash = left.rfind('/');
                const bool at_root = slash == std::string_view::npos;
                const auto name = left.substr(at_root ? 0 : slash + 1);
                left = at_root ? std::string_view() : left.substr(0, slash);
                names[std::string(left)].emplace(name);
            }
        }
        for (const auto& [directory, wanted] : names)
            if (!is_in_subtree(directory)) wanted_[directory].assign(wanted.begin(), wanted.end());
    }

    // The caller's filter is asked as in a full walk, about every path on the way.
    walk::Decision decide(std::string_view path, bool is_directory) {
        const bool dirty = is_dirty(path);
        if (!dirty && !(is_directory && above_.contains(path))) return walk::Decision::Prune;
        auto verdict = walk::Decision::Include;
        if (options_.walk.filter) verdict = options_.walk.filter(path, is_directory);
        // Such a directory comes and goes with what is included below it.
        if (verdict == walk::Decision::Skip && is_directory) left_out_ = path;
        return dirty || verdict == walk::Decision::Prune ? verdict : walk::Decision::Skip;
    }

    bool is_dirty(std::string_view path) const {
        return dirty_.contains(path) || is_in_subtree(path);
    }

    // At the top of one or below.
    bool is_in_subtree(std::string_view path) const {
        if (subtrees_.contains(path)) return true;
        for (auto slash = path.find('/'); slash != std::string_view::npos;
             slash = path.find('/', slash + 1))
            if (subtrees_.contains(path.substr(0, slash))) return true;
        return subtrees_.contains("");
    }

    // Parents come before what is below them, in dirty_ as in a tree.
    Tree merge(const Tree& seen) {
        snapshot::TreeBuilder builder(base_.tree);
        for (const auto& [path, with_subtree] : dirty_) {
            const NodeId node = seen.find(path);
            if (node == kNoNode) {
                builder.remove(path);
                continue;
            }
            if (with_subtree) builder.clear_children(path);
            put(builder, path, seen, node);
            if (!with_subtree) continue;
            for (NodeId below = node + 1; below < seen.end(node); ++below)
                put(builder, seen.path(below), seen, below);
        }
        return builder.finish();
    }

    void put(snapshot::TreeBuilder& builder, const std::string& path, const Tree& seen,
             NodeId node) {
        auto spec = seen.entry(node).spec();
        if (spec.link_group != 0) {
            auto& group = groups_[spec.link_group];
            if (group == 0) group = builder.new_link_group();
            spec.link_group = group;
        }
        builder.put(path, std::move(spec));
    }

    const std::string& root_;
    const BaseSnapshot& base_;
    const ScanOptions& options_;
    std::map<std::string, bool, std::less<>> dirty_;  // path -> with all below
    std::set<std::string, std::less<>> subtrees_, above_;
    std::map<std::string, std::vector<std::string>, std::less<>> wanted_;  // by directory
    std::unordered_map<std::uint64_t, std::uint64_t> groups_;  // of the scan -> of the builder
    std::string left_out_;  // a directory that the filter skips without pruning it
};

}  // namespace

ScanResult scan(const std::string& directory, const std::string& state_directory,
                const ScanOptions& options, ScanStats* stats, const std::string& rules) {
    const auto walk_all = [&](std::string why) -> ScanResult {
        return {snapshot::scan(directory, options, stats), false, std::move(why), 0};
    };
    if (!can_be_incremental(options, rules)) return walk_all("a filter decides what is looked at");
    const std::string root = identify(directory).path;
    const std::string variant = variant_of(options, rules);
    const auto base = load_base(state_directory, root, variant);
    const auto answer = ask(root, base ? base->token : Token{});
    if (!answer) return walk_all("nobody watches it");

    std::string why = answer->why;
    if (base && answer->complete && base->linked.size() <= kMaxLinked) {
        Incremental incremental(root, *base, *answer, options);
        if (auto tree = incremental.run(stats, why)) {
            if (answer->changes.size() > kRebaseAfter) {
                BaseSnapshot next{answer->now, base->linked, std::move(*tree)};
                save_base(state_directory, root, variant, next);
                tree = std::move(next.tree);
            }
            return {std::move(*tree), true, {}, incremental.paths()};
        }
    } else if (!base) {
        why = "it is the first snapshot since the watcher was started";
    } else if (answer->complete) {
        why = "too many files have several names";
    }

    std::vector<std::string> noted;
    Tree tree = snapshot::scan(root, noting_links(options, noted), stats);
    if (answer->now.instance.empty()) return {std::move(tree), false, why, 0};
    BaseSnapshot next{answer->now, all_linked(root, tree, std::move(noted)), std::move(tree)};
    save_base(state_directory, root, variant, next);
    return {std::move(next.tree), false, why, 0};
}

}  // namespace shale::watch
