// compare: parallel pre-order descent of two trees, skipping subtrees with equal digests.
//
// The only subtle part is hard links. A node's digest covers the paths of its whole link group, so
// a member whose group changed is always visited, even if nothing else about it changed; such nodes
// are *candidates* for Linked. Which of them a layer must state again is decided at the end:
//
//   - An after-group is intact if all its members are unchanged and came from one before-group. Any
//     other group has a member that is stated anyway, and a hard link can only be stated together
//     with what it links to, so all its unchanged members become Linked.
//   - A before-group may fall apart into several intact pieces (groups or single files). Removing
//     names needs no restating, separating them does: the piece with the first path keeps the old
//     inode, the members of the other pieces become Linked.
#include <shale/diff.hpp>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace shale::diff {

namespace {

using snapshot::Entry;
using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;
using snapshot::Tree;

bool has_equal_content(const Entry& a, const Entry& b) {
    return a.type == b.type && a.size == b.size && a.content == b.content &&
           a.link_target == b.link_target && a.device_major == b.device_major &&
           a.device_minor == b.device_minor;
}

bool has_equal_metadata(const Entry& a, const Entry& b, const Options& options) {
    return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
           (options.ignore_mtime || a.mtime_ns == b.mtime_ns) &&
           std::equal(a.xattrs.begin(), a.xattrs.end(), b.xattrs.begin(), b.xattrs.end());
}

// A visited, unchanged member of a link group of either tree.
struct Candidate {
    NodeId before, after;
    std::uint32_t position;  // where in the list of changes it would stand
};

// Gathers what the descent sees of link groups and decides which candidates must be restated.
class LinkStructure {
  public:
    void add_stated(std::uint64_t after_group) {
        if (after_group != 0) disturbed_.insert(after_group);
    }
    void add_unchanged(std::uint64_t before_group, std::uint64_t after_group,
                       const Candidate& candidate) {
        if (before_group == 0 && after_group == 0) return;
        candidates_.push_back({candidate, before_group, after_group});
        if (after_group == 0) return;
        const auto [origin, is_new] = origin_.try_emplace(after_group, before_group);
        if (before_group == 0 || (!is_new && origin->second != before_group))
            disturbed_.insert(after_group);
    }

    std::vector<Candidate> restated() const {
        std::unordered_map<std::uint64_t, Piece> keepers;  // before-group -> the piece that stays
        std::vector<Candidate> result;
        for (const Unchanged& item : candidates_) {
            if (disturbed_.contains(item.after_group)) {
                result.push_back(item.candidate);
                continue;
            }
            const Piece piece{item.after_group, item.after_group ? kNoNode : item.candidate.after};
            const auto [keeper, is_first] = keepers.try_emplace(item.before_group, piece);
            if (!is_first && keeper->second != piece) result.push_back(item.candidate);
        }
        return result;
    }

  private:
    struct Unchanged {
        Candidate candidate;
        std::uint64_t before_group, after_group;
    };
    // An after-group, or a single file that is in none.
    struct Piece {
        std::uint64_t group;
        NodeId single;
        bool operator==(const Piece&) const = default;
    };
    std::vector<Unchanged> candidates_;                        // in path order
    std::unordered_map<std::uint64_t, std::uint64_t> origin_;  // after-group -> before-group
    std::unordered_set<std::uint64_t> disturbed_;              // after-groups that are not intact
};

class Comparison {
  public:
    Comparison(const Tree& before, const Tree& after, const Options& options)
        : before_(before), after_(after), options_(options) {}

    std::vector<Change> run() {
        if (before_.digest() == after_.digest()) return {};
        if (options_.whole_subtrees) hard_links_ = after_.hard_links();
        changes_.reserve(after_.size());  // address space; what is not used costs no memory
        compare_nodes(kRoot, kRoot);
        return merge_linked();
    }

  private:
    void compare_nodes(NodeId before, NodeId after) {
        if (before_.digest(before) == after_.digest(after)) return;
        const Entry old_entry = before_.entry(before), new_entry = after_.entry(after);
        const bool content_changed = !has_equal_content(old_entry, new_entry);
        const bool metadata_changed = !has_equal_metadata(old_entry, new_entry, options_);
        if (content_changed || metadata_changed) {
            changes_.push_back(
                {ChangeKind::Modified, before, after, content_changed, metadata_changed, {}});
            links_.add_stated(new_entry.link_group);
        } else {
            links_.add_unchanged(old_entry.link_group, new_entry.link_group,
                                 {before, after, static_cast<std::uint32_t>(changes_.size())});
        }
        if (new_entry.type != FileType::Directory) return;
        if (old_entry.type == FileType::Directory)
            compare_children(before, after);
        else
            for (NodeId child = after_.first_child(after); child != kNoNode;
                 child = after_.next_sibling(child))
                add_subtree(child);
    }

    // Merges the two sorted lists of children.
    void compare_children(NodeId before, NodeId after) {
        NodeId old_child = before_.first_child(before), new_child = after_.first_child(after);
        while (old_child != kNoNode || new_child != kNoNode) {
            const int order = new_child == kNoNode ? -1
                              : old_child == kNoNode
                                  ? 1
                                  : before_.name(old_child).compare(after_.name(new_child));
            if (order < 0) {
                changes_.push_back(
                    {ChangeKind::Removed, old_child, kNoNode, true, true, before_.path(old_child)});
            } else if (order > 0) {
                add_subtree(new_child);
            } else if (before_.digest(old_child) != after_.digest(new_child)) {
                compare_nodes(old_child, new_child);
            }
            if (order <= 0) old_child = before_.next_sibling(old_child);
            if (order >= 0) new_child = after_.next_sibling(new_child);
        }
    }

    void add_subtree(NodeId after) {
        if (options_.whole_subtrees) return add_whole_subtree(after);
        changes_.push_back({ChangeKind::Added, kNoNode, after, true, true, {}});
        links_.add_stated(after_.entry(after).link_group);
        for (NodeId child = after_.first_child(after); child != kNoNode;
             child = after_.next_sibling(child))
            add_subtree(child);
    }

    void add_whole_subtree(NodeId after) {
        const NodeId end = after_.end(after);
        changes_.push_back({ChangeKind::Added, kNoNode, after, true, true, {}, end - after > 1});
        for (auto link = std::ranges::lower_bound(hard_links_, after);
             link != hard_links_.end() && *link < end; ++link)
            links_.add_stated(after_.entry(*link).link_group);
    }

    std::vector<Change> merge_linked() {
        const auto linked = links_.restated();
        if (linked.empty()) return std::move(changes_);
        std::vector<Change> merged;
        merged.reserve(changes_.size() + linked.size());
        std::size_t from = 0;
        for (const Candidate& item : linked) {
            for (; from < item.position; ++from)
                merged.push_back(std::move(changes_[from]));
            merged.push_back({ChangeKind::Linked, item.before, item.after, false, false, {}});
        }
        for (; from < changes_.size(); ++from)
            merged.push_back(std::move(changes_[from]));
        return merged;
    }

    const Tree& before_;
    const Tree& after_;
    const Options& options_;
    std::vector<Change> changes_;
    std::vector<NodeId> hard_links_;  // of `after`, if subtrees are not descended into
    LinkStructure links_;
};

}  // namespace

std::string Change::path(const Tree& tree) const {
    return after == kNoNode ? removed_path : tree.path(after);
}

std::vector<Change> compare(const Tree& before, const Tree& after, const Options& options) {
    return Comparison(before, after, options).run();
}

}  // namespace shale::diff
