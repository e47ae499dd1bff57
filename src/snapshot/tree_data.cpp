// The methods of Tree::Data: going from node to node, and what a mapped file must prove on the way.
//
// MappedFile vouches for each node by itself. Here it is checked that two nodes agree: a child says
// who its parent is, lies within its range, one level below it, and behind its elder sibling in
// name and number. That is enough for every loop to end and every recursion to stay within
// kMaxDepth. Look-up in a directory is a binary search over its child slots, so a directory of
// 200 000 entries costs 18 comparisons.
#include "tree_data.hpp"

#include "digests.hpp"
#include "mapped_file.hpp"
#include "patch.hpp"

namespace shale::snapshot {

Tree::Data::Data() {
    group_digests.push_back({});
}
Tree::Data::~Data() = default;

void index_children(Tree::Data& data) {
    data.child_slots.clear();
    data.child_slots.reserve(data.nodes.size());
    for (NodeId id = 0; id < data.size(); ++id) {
        Node& node = data.nodes[id];
        if (id != kRoot) node.depth = static_cast<std::uint16_t>(data.nodes[node.parent].depth + 1);
        node.first_slot = static_cast<std::uint32_t>(data.child_slots.size());
        for (NodeId child = id + 1; child < node.end; child = data.nodes[child].end)
            data.child_slots.push_back(child);
    }
}

std::uint64_t Tree::Data::append_target(std::string_view target) {
    const std::uint64_t offset = targets.size();
    if (offset + target.size() > kPoolLimit)
        fail(ErrorKind::Unsupported, "a tree with more than 4 GiB of symbolic link targets");
    targets.append(target.data(), target.size());
    return offset << 32 | target.size();
}

std::uint32_t Tree::Data::intern(std::span<const Xattr> xattrs, XattrSets& sets) {
    if (xattrs.empty()) return 0;
    const Digest digest = digest_of_xattrs(xattrs);
    const auto next = static_cast<std::uint32_t>(xattr_sets.size());
    const auto [at, is_new] = sets.try_emplace(digest, next);
    if (is_new) {
        xattr_sets.emplace_back(xattrs.begin(), xattrs.end());
        xattr_digests.push_back(digest);
    }
    return at->second;
}

void Tree::Data::require_node(NodeId id) const {
    file->require_node(*this, id);
}
void Tree::Data::require_content(NodeId id) const {
    require_node(id);
    file->require(file->layout().contents + id * kDigestBytes, kDigestBytes);
}
void Tree::Data::require_digest(NodeId id) const {
    require_node(id);
    file->require(file->layout().digests + id * kDigestBytes, kDigestBytes);
}

void Tree::Data::require_child(NodeId parent, NodeId child) const {
    const Node above = node(parent);
    const Node below = node(child);
    if (below.parent != parent || below.depth != above.depth + 1 || below.end > above.end)
        file->reject("node " + std::to_string(child) + " is no child of " + std::to_string(parent));
}

void Tree::Data::require_subtree(NodeId top) const {
    if (patch) return require_patched_subtree(top);
    if (!file) return;
    const NodeId end = node(top).end;
    std::vector<NodeId> last_child(kMaxDepth + 2, kNoNode);  // by depth
    for (NodeId id = top; id < end; ++id) {
        const Node at = node(id);
        if (id != top) {
            require_child(at.parent, id);
            // A parent that does not reach this far has been left behind; so has its last child.
            NodeId& elder = last_child[at.depth];
            const bool is_next = elder == kNoNode ? at.parent + 1 == id : nodes[elder].end == id;
            if (at.parent < top || !is_next || (elder != kNoNode && name(elder) >= name(id)))
                file->reject("node " + std::to_string(id) + " is out of order");
            elder = id;
        }
        last_child[at.depth + 1u] = kNoNode;
    }
    file->require(file->layout().contents + top * kDigestBytes, (end - top) * kDigestBytes);
    file->require(file->layout().digests + top * kDigestBytes, (end - top) * kDigestBytes);
    for (NodeId id = top; id < end; ++id)
        if (nodes[id].type != FileType::Regular && !contents[id].is_zero())
            file->reject("node " + std::to_string(id) + " has a content and is no file");
}

std::uint32_t Tree::Data::group_count() const {
    if (patch) return patch->base->group_count();
    return static_cast<std::uint32_t>(group_digests.size() - 1);
}

const Digest& Tree::Data::group_digest(std::uint32_t group) const {
    if (patch) return patch->base->group_digest(group);
    if (file) file->require(file->layout().groups + group * kDigestBytes, kDigestBytes);
    return group_digests[group];
}

std::string_view Tree::Data::target(NodeId id) const {
    if (patch) {
        const Spot at = spot(id);
        return at.columns->target(at.at);
    }
    const std::uint64_t value = node(id).value;
    const std::uint64_t offset = value >> 32;
    const auto bytes = static_cast<std::uint32_t>(value);
    if (file) {
        file->require(file->layout().targets + offset, bytes);
        if (std::memchr(targets.data() + offset, 0, bytes)) file->reject("NUL in a link target");
    }
    return {targets.data() + offset, bytes};
}

std::string Tree::Data::path(NodeId id) const {
    if (patch) {
        const Spot at = spot(id);
        if (!at.run->is_own) return at.columns->path(at.at);  // it is where it was
    }
    std::size_t bytes = 0;
    for (NodeId at = id; at != kRoot; at = node(at).parent) {
        if (file) require_child(node(at).parent, at);
        bytes += node(at).name_bytes + 1u;
    }
    if (bytes == 0) return {};
    std::string path(bytes - 1, '/');
    std::size_t end = path.size();
    for (NodeId at = id; at != kRoot; at = node(at).parent) {
        const auto part = name(at);
        end -= part.size();
        path.replace(end, part.size(), part);
        if (end > 0) --end;  // the slash that is already there
    }
    return path;
}

std::uint32_t Tree::Data::child_count(NodeId id) const {
    if (patch) {
        const Spot at = spot(id);
        return at.columns->child_count(at.at);
    }
    const std::uint32_t first = node(id).first_slot;
    const std::uint32_t end =
        id + 1 < size() ? node(id + 1).first_slot : static_cast<std::uint32_t>(child_slots.size());
    if (file && end < first) file->reject("child slots of a node overlap");
    return end - first;
}

NodeId Tree::Data::child_at(NodeId directory, std::uint32_t index) const {
    if (patch) {
        const Spot at = spot(directory);
        const NodeId child = at.columns->child_at(at.at, index);
        return at.run->is_own ? child : moved_by(*at.run, child);
    }
    const std::uint32_t slot = node(directory).first_slot + index;
    if (!file) return child_slots[slot];
    file->require(file->layout().slots + slot * kSlotBytes, kSlotBytes);
    const NodeId child = child_slots[slot];
    require_node(child);
    require_child(directory, child);
    return child;
}

NodeId Tree::Data::child(NodeId directory, std::string_view wanted) const {
    if (patch) {
        const Spot at = spot(directory);
        if (!at.run->is_own) {
            const NodeId found = at.columns->child(at.at, wanted);
            return found == kNoNode ? kNoNode : moved_by(*at.run, found);
        }
    }
    std::uint32_t begin = 0, end = child_count(directory);
    while (begin < end) {
        const std::uint32_t middle = begin + (end - begin) / 2;
        const NodeId id = child_at(directory, middle);
        const int order = name(id).compare(wanted);
        if (order == 0) return id;
        if (order < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return kNoNode;
}

NodeId Tree::Data::first_child(NodeId id) const {
    if (patch) {
        const Spot at = spot(id);
        if (!at.run->is_own) {
            const NodeId child = at.columns->first_child(at.at);
            return child == kNoNode ? kNoNode : moved_by(*at.run, child);
        }
    }
    if (node(id).end <= id + 1) return kNoNode;
    if (file) require_child(id, id + 1);
    return id + 1;
}

NodeId Tree::Data::next_sibling(NodeId id) const {
    if (id == kRoot) return kNoNode;
    if (patch) return patched_next_sibling(id);
    const Node at = node(id);
    if (at.end >= node(at.parent).end) return kNoNode;
    if (file) {
        require_child(at.parent, at.end);
        if (name(id) >= name(at.end)) file->reject("names out of order");
    }
    return at.end;
}

}  // namespace shale::snapshot
