// Comparing what is appended with a past tree.
//
// Both come in the same order, so each open directory keeps a place in its counterpart and every
// past node is looked at once. A directory is appended as one of the patch's own; if nothing in it
// turns out to differ, that is taken back and the past one stands in its place. Its nodes have the
// same numbers either way.
#include "likeness.hpp"

#include "assembler.hpp"

#include <algorithm>

namespace shale::snapshot {

LikenessAssembler::LikenessAssembler(std::shared_ptr<const Tree::Data> past)
    : past_(std::move(past)), patch_(past_) {}

// Hard links are never the same: what they are follows from the whole tree.
bool LikenessAssembler::is_same(const Entry& entry, NodeId past) const {
    Node node = node_of(entry);
    const Node other = past_->node(past);
    if (node.type != other.type || entry.link_group != 0 || other.link_group != 0) return false;
    if (node.type == FileType::Symlink) {
        if (entry.link_target != past_->target(past)) return false;
        node.value = other.value;
    }
    const auto& xattrs = past_->xattr_sets[other.xattr_set];
    node.xattr_set = other.xattr_set;
    return is_same_inode(node, other) && std::ranges::equal(entry.xattrs, xattrs) &&
           content_of(entry) == past_->content(past);
}

// The past child `name` of the innermost open directory. Names come in ascending order.
NodeId LikenessAssembler::counterpart(std::string_view name) {
    OpenDirectory& directory = open_.back();
    while (directory.next != kNoNode) {
        const int order = past_->name(directory.next).compare(name);
        if (order > 0) break;
        const NodeId child = directory.next;
        directory.next = past_->next_sibling(child);
        if (order == 0) return child;
        directory.is_same = false;  // that one is gone
    }
    directory.is_same = false;
    return kNoNode;
}

void LikenessAssembler::leave() {
    const OpenDirectory left = open_.back();
    open_.pop_back();
    if (left.is_same && left.next == kNoNode && !open_.empty()) {
        patch_.back_to(left.before);
        patch_.append_subtree(left.parent, left.past);
    } else if (!open_.empty()) {
        open_.back().is_same = false;
    }
}

void LikenessAssembler::leave_until(NodeId parent) {
    while (open_.back().id != parent)
        leave();
}

NodeId LikenessAssembler::append(NodeId parent, std::string_view name, const Entry& entry) {
    if (!is_possible()) return patch_.size();
    const bool is_root = parent == kNoNode;
    if (!is_root) leave_until(parent);
    const NodeId past = is_root ? kRoot : counterpart(name);
    const bool same = past != kNoNode && is_same(entry, past);
    const NodeId id = patch_.size();
    if (entry.type == FileType::Directory) {
        OpenDirectory directory{.id = id, .parent = parent, .before = patch_.mark()};
        directory.is_same = same;
        if (past != kNoNode && past_->is_directory(past)) {
            directory.past = past;
            directory.next = past_->first_child(past);
        }
        patch_.append(parent, name, entry);
        open_.push_back(directory);
    } else if (same) {
        patch_.append_subtree(parent, past);
    } else {
        open_.back().is_same = false;
        patch_.append(parent, name, entry);
    }
    return id;
}

bool LikenessAssembler::append_equal(NodeId parent, std::string_view name, const Digest& digest) {
    if (!is_possible()) return true;
    leave_until(parent);
    const OpenDirectory& directory = open_.back();
    if (directory.past == kNoNode) return false;
    const NodeId past = past_->child(directory.past, name);
    if (past == kNoNode || past_->digest(past) != digest) return false;
    counterpart(name);
    patch_.append_subtree(parent, past);
    return true;
}

std::shared_ptr<const Tree::Data> LikenessAssembler::finish() {
    if (!is_possible()) return nullptr;
    while (!open_.empty())
        leave();
    return patch_.finish();
}

}  // namespace shale::snapshot
