// Tree: reading accessors, exact look-up and chroot-like resolution.
//
// Nothing here changes a tree. Look-up in a directory is a binary search over its child slots, so a
// directory of 200 000 entries costs 18 comparisons.
#include "digests.hpp"
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

void index_children(Tree::Data& data) {
    data.child_slots.clear();
    data.child_slots.reserve(data.nodes.size());
    const auto count = static_cast<NodeId>(data.nodes.size());
    for (NodeId id = 0; id < count; ++id) {
        Node& node = data.nodes[id];
        node.first_slot = static_cast<std::uint32_t>(data.child_slots.size());
        for (NodeId child = id + 1; child < node.end; child = data.nodes[child].end)
            data.child_slots.push_back(child);
        node.child_count = static_cast<std::uint32_t>(data.child_slots.size()) - node.first_slot;
    }
}

std::string Tree::Data::path(NodeId node) const {
    std::size_t bytes = 0;
    for (NodeId at = node; at != kRoot; at = nodes[at].parent)
        bytes += nodes[at].name_bytes + 1u;
    if (bytes == 0) return {};
    std::string path(bytes - 1, '/');
    std::size_t end = path.size();
    for (NodeId at = node; at != kRoot; at = nodes[at].parent) {
        const auto part = name(at);
        end -= part.size();
        path.replace(end, part.size(), part);
        if (end > 0) --end;  // the slash that is already there
    }
    return path;
}

NodeId Tree::Data::child(NodeId directory, std::string_view wanted) const {
    const Node& node = nodes[directory];
    const auto begin = child_slots.begin() + node.first_slot;
    const auto end = begin + node.child_count;
    const auto found = std::lower_bound(
        begin, end, wanted, [&](NodeId id, std::string_view text) { return name(id) < text; });
    return found != end && name(*found) == wanted ? *found : kNoNode;
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

Tree::Tree(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Tree::Tree(Tree&&) noexcept = default;
Tree& Tree::operator=(Tree&&) noexcept = default;
Tree::~Tree() = default;

std::size_t Tree::size() const {
    return data_->nodes.size();
}

Entry Tree::entry(NodeId id) const {
    const Node& node = data_->nodes[id];
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
        entry.content = data_->contents[id];
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
    return data_->nodes[node].parent;
}
NodeId Tree::end(NodeId node) const {
    return data_->nodes[node].end;
}
std::string Tree::path(NodeId node) const {
    return data_->path(node);
}

NodeId Tree::first_child(NodeId node) const {
    return data_->nodes[node].end > node + 1 ? node + 1 : kNoNode;
}

NodeId Tree::next_sibling(NodeId node) const {
    if (node == kRoot) return kNoNode;
    const Node& at = data_->nodes[node];
    return at.end < data_->nodes[at.parent].end ? at.end : kNoNode;
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

const Digest& Tree::digest(NodeId node) const {
    return data_->digests[node];
}

Digest Tree::key_digest(NodeId node, const KeyPolicy& policy) const {
    return compute_key_digest(*data_, node, policy);
}

void Tree::verify_digests() const {
    const auto count = static_cast<NodeId>(size());
    for (NodeId node = 0; node < count; ++node)
        if (compute_digest(*data_, node) != data_->digests[node])
            fail(ErrorKind::Corrupt, "snapshot: digest of '" + path(node) +
                                         "' does not match its metadata, content or children");
}

const Tree::Data& Tree::data() const {
    return *data_;
}

}  // namespace shale::snapshot
