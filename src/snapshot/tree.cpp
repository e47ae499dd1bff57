// Tree: reading accessors, exact look-up and chroot-like resolution.
//
// Nothing here changes a tree; what a mapped file must prove first is in tree_data.cpp.
#include "digests.hpp"
#include "patch.hpp"
#include "tree_data.hpp"

#include <algorithm>

namespace shale::snapshot {

bool is_valid_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool is_same_inode(const Node& a, const Node& b) {
    return a.type == b.type && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
           a.mtime_ns == b.mtime_ns && a.value == b.value && a.xattr_set == b.xattr_set;
}

EntrySpec Entry::spec() const {
    EntrySpec copy;
    copy.type = type;
    copy.mode = mode;
    copy.uid = uid;
    copy.gid = gid;
    copy.size = size;
    copy.mtime_ns = mtime_ns;
    copy.device_major = device_major;
    copy.device_minor = device_minor;
    copy.link_target = link_target;
    copy.xattrs.assign(xattrs.begin(), xattrs.end());
    copy.content = content;
    copy.link_group = link_group;
    return copy;
}

Tree::Tree(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
Tree::Tree(Tree&&) noexcept = default;
Tree& Tree::operator=(Tree&&) noexcept = default;
Tree::~Tree() = default;

std::size_t Tree::size() const {
    return data_->size();
}

Entry Tree::entry(NodeId id) const {
    const Node node = data_->node(id);
    Entry entry;
    entry.type = node.type;
    entry.mode = node.mode;
    entry.uid = node.uid;
    entry.gid = node.gid;
    entry.mtime_ns = node.mtime_ns;
    entry.xattrs = data_->xattr_sets[node.xattr_set];
    entry.link_group = node.link_group;
    switch (node.type) {
    case FileType::Regular:
        entry.size = node.value;
        entry.content = data_->content(id);
        break;
    case FileType::Symlink:
        entry.link_target = data_->target(id);
        break;
    case FileType::CharDevice:
    case FileType::BlockDevice:
        entry.device_major = static_cast<std::uint32_t>(node.value >> 32);
        entry.device_minor = static_cast<std::uint32_t>(node.value);
        break;
    case FileType::Directory:
    case FileType::Fifo:
    case FileType::Socket:
        break;
    }
    return entry;
}

std::string_view Tree::name(NodeId node) const {
    return data_->name(node);
}
NodeId Tree::parent(NodeId node) const {
    return data_->node(node).parent;
}
NodeId Tree::end(NodeId node) const {
    return data_->node(node).end;
}
std::string Tree::path(NodeId node) const {
    return data_->path(node);
}

NodeId Tree::first_child(NodeId node) const {
    return data_->first_child(node);
}
NodeId Tree::next_sibling(NodeId node) const {
    return data_->next_sibling(node);
}
NodeId Tree::child(NodeId directory, std::string_view name) const {
    return data_->child(directory, name);
}

NodeId Tree::find(std::string_view path) const {
    NodeId at = kRoot;
    while (at != kNoNode && !path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
        if (!part.empty()) at = data_->child(at, part);
    }
    return at;
}

std::vector<NodeId> Tree::hard_links() const {
    std::vector<NodeId> links;
    if (data_->group_count() == 0) return links;
    const auto look = [&](const Data& tree, NodeId from, NodeId count, NodeId first) {
        for (NodeId i = 0; i < count; ++i)
            if (tree.node(from + i).link_group != 0) links.push_back(first + i);
    };
    if (!data_->patch) {
        look(*data_, 0, data_->size(), 0);
        return links;
    }
    for (const Run& run : data_->patch->runs)  // its own nodes are none
        if (!run.is_own) look(*data_->patch->base, run.from, run.count, run.first);
    return links;
}

const Digest& Tree::digest(NodeId node) const {
    return data_->digest(node);
}

Digest Tree::key_digest(NodeId node, const KeyPolicy& policy) const {
    return compute_key_digest(*data_, node, policy);
}

void Tree::verify_digests() const {
    const auto count = static_cast<NodeId>(size());
    for (NodeId node = 0; node < count; ++node)
        if (compute_digest(*data_, node) != data_->digest(node))
            fail(ErrorKind::Corrupt, "snapshot: digest of '" + path(node) +
                                         "' does not match its metadata, content or children");
}
}  // namespace shale::snapshot
