// Filling the arrays of a tree.
//
// Two ways in: single entries (append), and whole untouched subtrees of other trees, whose nodes
// are copied with their numbers shifted and whose digests are taken over. Everything that depends
// on the tree as a whole (subtree ends, child index, numbers of link groups, digests of what is
// new) waits for finish(). Xattr sets and link groups are numbered by first appearance, so equal
// trees have equal arrays no matter how they came about.
#include "assembler.hpp"

#include "digests.hpp"
#include "patch.hpp"

#include <algorithm>

namespace shale::snapshot {

// Nodes of a tree that follow each other there and in the columns they lie in.
struct Piece {
    NodeId first = 0;  // in the tree
    NodeId count = 0;
    Spot spot{};  // of the first; no run: the tree is no patch
};

namespace {

std::vector<Piece> pieces_of(const Tree::Data& tree, NodeId top, NodeId end) {
    if (!tree.patch) return {{top, end - top, {nullptr, &tree, top}}};
    std::vector<Piece> pieces;
    for (NodeId id = top; id < end; id += pieces.back().count) {
        const Spot spot = tree.spot(id);
        const NodeId run_end = spot.run->first + spot.run->count;
        pieces.push_back({id, std::min(run_end, end) - id, spot});
    }
    return pieces;
}

}  // namespace

bool can_link(FileType type) {
    return type != FileType::Directory && type != FileType::Symlink;
}

Node node_of(const Entry& entry) {
    Node node;
    node.type = entry.type;
    node.mode = static_cast<std::uint16_t>(entry.mode & 07777);
    node.uid = entry.uid;
    node.gid = entry.gid;
    node.mtime_ns = entry.mtime_ns;
    if (entry.type == FileType::Regular)
        node.value = entry.size;
    else if (entry.type == FileType::CharDevice || entry.type == FileType::BlockDevice)
        node.value = std::uint64_t{entry.device_major} << 32 | entry.device_minor;
    return node;
}

Digest content_of(const Entry& entry) {
    if (entry.type != FileType::Regular) return {};
    return entry.size == 0 && entry.content.is_zero() ? kEmptyContent : entry.content;
}

Entry view_of(const EntrySpec& spec) {
    Entry entry;
    entry.type = spec.type;
    entry.mode = spec.mode;
    entry.uid = spec.uid;
    entry.gid = spec.gid;
    entry.size = spec.size;
    entry.mtime_ns = spec.mtime_ns;
    entry.device_major = spec.device_major;
    entry.device_minor = spec.device_minor;
    entry.link_target = spec.link_target;
    entry.xattrs = spec.xattrs;
    entry.content = spec.content;
    entry.link_group = spec.link_group;
    return entry;
}

Assembler::Assembler(const Tree::Data* base) : base_(base), data_(std::make_unique<Tree::Data>()) {
    if (!base_) return;
    data_->nodes.reserve(base_->size());
    data_->contents.reserve(base_->size());
    data_->digests.reserve(base_->size());
    data_->names.reserve((base_->patch ? *base_->patch->base : *base_).names.size());
    dirty_.reserve(base_->size());
}

NodeId Assembler::next_id() const {
    if (data_->nodes.size() >= kNoNode)
        fail(ErrorKind::Unsupported, "a tree of more than 4294967294 entries");
    return static_cast<NodeId>(data_->nodes.size());
}

std::uint32_t Assembler::append_name(std::string_view name) {
    const auto offset = data_->names.size();
    if (offset + name.size() > kPoolLimit)
        fail(ErrorKind::Unsupported, "a tree with more than 4 GiB of names");
    data_->names.append(name.data(), name.size());
    return static_cast<std::uint32_t>(offset);
}

std::vector<std::uint32_t>& Assembler::sets_of(const Tree::Data& tree) {
    auto& sets = copied_sets_[&tree];
    sets.resize(tree.xattr_sets.size());
    return sets;
}

NodeId Assembler::append(NodeId parent, std::string_view name, const Entry& entry) {
    const NodeId id = next_id();
    Node node = node_of(entry);
    node.parent = parent;
    node.name_offset = append_name(name);
    node.name_bytes = static_cast<std::uint8_t>(name.size());
    node.xattr_set = data_->intern(entry.xattrs, sets_);
    if (entry.type == FileType::Symlink) node.value = data_->append_target(entry.link_target);
    if (entry.link_group != 0 && can_link(entry.type))
        members_.push_back({id, 0, entry.link_group});
    data_->nodes.push_back(node);
    data_->contents.push_back(content_of(entry));
    if (!data_->digests.empty()) data_->digests.push_back({});  // else there is none as yet
    dirty_.push_back(1);
    return id;
}

void Assembler::append_subtree(NodeId parent, const Tree::Data& tree, NodeId top,
                               const Changes& changes) {
    tree.require_subtree(top);
    const NodeId end = tree.node(top).end;
    dirty_.resize(data_->nodes.size() + (end - top), 0);
    data_->digests.resize(data_->nodes.size());  // of what was appended one by one
    for (const Piece& piece : pieces_of(tree, top, end))
        append_piece(parent, tree, top, piece, changes);
}

void Assembler::append_piece(NodeId parent, const Tree::Data& tree, NodeId top, const Piece& piece,
                             const Changes& changes) {
    auto& sets = sets_of(tree);
    const Tree::Data& columns = *piece.spot.columns;
    const NodeId begin = piece.spot.at, end = begin + piece.count;
    const Node& last = columns.nodes[end - 1];
    const std::uint32_t names_begin = columns.nodes[begin].name_offset;
    const std::uint32_t names_at =
        append_name({columns.names.data() + names_begin,
                     std::size_t{last.name_offset} + last.name_bytes - names_begin});
    const NodeId shift = next_id() - piece.first;  // may wrap
    for (NodeId from = begin; from < end; ++from) {
        Node node = columns.nodes[from];
        const NodeId id = next_id();
        if (piece.spot.run && !piece.spot.run->is_own) node = moved_by(*piece.spot.run, node);
        node.parent = id - shift == top ? parent : node.parent + shift;
        node.name_offset = node.name_offset - names_begin + names_at;
        if (node.xattr_set != 0) {
            auto& set = sets[node.xattr_set];
            if (set == 0) set = data_->intern(tree.xattr_sets[node.xattr_set], sets_);
            node.xattr_set = set;
        }
        if (node.type == FileType::Symlink) node.value = data_->append_target(columns.target(from));
        if (node.link_group) {
            members_.push_back(
                {id, &tree == base_ ? node.link_group : 0, node.link_group + changes.first_group});
            if (&tree != base_) dirty_[id] = 1;  // its digest covers where the others are
        }
        if (changes.whole_seconds && whole_seconds(node.mtime_ns) != node.mtime_ns) {
            node.mtime_ns = whole_seconds(node.mtime_ns);
            dirty_[id] = 1;
        }
        data_->nodes.push_back(node);
    }
    data_->contents.append(columns.contents.data() + begin, piece.count);
    data_->digests.append(columns.digests.data() + begin, piece.count);
}

void Assembler::set_content(NodeId node, const Digest& content, std::uint64_t size) {
    data_->contents[node] = content;
    data_->nodes[node].value = size;
}

void Assembler::set_metadata(NodeId node, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                             std::int64_t mtime_ns) {
    Node& at = data_->nodes[node];
    at.mode = static_cast<std::uint16_t>(mode & 07777);
    at.uid = uid;
    at.gid = gid;
    at.mtime_ns = mtime_ns;
}

void Assembler::copy_inode(NodeId node, NodeId from) {
    const Node& source = data_->nodes[from];
    Node& at = data_->nodes[node];
    set_metadata(node, source.mode, source.uid, source.gid, source.mtime_ns);
    at.type = source.type;
    at.value = source.value;
    at.xattr_set = source.xattr_set;
    data_->contents[node] = data_->contents[from];
}

void Assembler::close_subtrees() {
    auto& nodes = data_->nodes;
    for (NodeId node = 0; node < nodes.size(); ++node)
        nodes[node].end = node + 1;
    for (auto node = static_cast<NodeId>(nodes.size()); --node > 0;)
        nodes[nodes[node].parent].end = std::max(nodes[nodes[node].parent].end, nodes[node].end);
}

// Members with one caller's number are one group as long as they are equal; an unequal one starts
// another. Only then are groups of one known, and the rest numbered by first appearance.
void Assembler::number_groups() {
    struct Group {
        NodeId first;
        std::uint32_t count = 0, number = 0;
    };
    std::vector<Group> groups;
    std::unordered_map<std::uint64_t, std::vector<std::size_t>> by_number;
    std::vector<std::size_t> group_of(members_.size());
    for (std::size_t at = 0; at < members_.size(); ++at) {
        auto& candidates = by_number[members_[at].group];
        const auto found =
            std::find_if(candidates.begin(), candidates.end(), [&](std::size_t group) {
                const NodeId first = groups[group].first, node = members_[at].node;
                return is_same_inode(data_->nodes[first], data_->nodes[node]) &&
                       data_->contents[first] == data_->contents[node];
            });
        group_of[at] = found == candidates.end() ? groups.size() : *found;
        if (found == candidates.end()) {
            candidates.push_back(groups.size());
            groups.push_back({members_[at].node});
        }
        ++groups[group_of[at]].count;
    }
    std::uint32_t next = 0;
    for (std::size_t at = 0; at < members_.size(); ++at) {
        Group& group = groups[group_of[at]];
        if (group.count > 1 && group.number == 0) group.number = ++next;
        data_->nodes[members_[at].node].link_group = group.number;
    }
    data_->group_digests.resize(next + 1u);
}

// A copied node keeps its digest only if its group still has exactly the members it had.
void Assembler::digest_groups() {
    std::vector<std::vector<NodeId>> groups(data_->group_digests.size());
    for (const LinkMember& member : members_)
        if (const auto number = data_->nodes[member.node].link_group)
            groups[number].push_back(member.node);
    for (std::size_t number = 1; number < groups.size(); ++number)
        data_->group_digests[number] = digest_of_group(*data_, groups[number]);
    for (const LinkMember& member : members_) {
        const auto number = data_->nodes[member.node].link_group;
        if (member.base_group != 0 &&
            base_->group_digest(member.base_group) != data_->group_digests[number])
            dirty_[member.node] = 1;
    }
}

Tree Assembler::finish() {
    SHALE_ENSURE(!data_->nodes.empty());
    close_subtrees();
    index_children(*data_);
    number_groups();
    digest_groups();
    data_->digests.resize(data_->nodes.size());
    update_digests(*data_, std::move(dirty_));
    return Tree(std::move(data_));
}

}  // namespace shale::snapshot
