// The memory layout behind Tree, shared by everything in this folder that makes or reads trees.
//
// A tree is a handful of flat arrays indexed by NodeId. Nodes lie in depth-first order with names
// byte-sorted per directory, so a subtree is the range [node, end) and its names are one contiguous
// piece of the name pool. That is what lets an edit copy untouched subtrees as ranges, digests
// included. One entry costs 56 (Node) + 32 (content) + 32 (digest) + 4 (child slot) = 124 bytes and
// its name; xattr sets and link groups are shared tables.
#pragma once

#include <shale/snapshot.hpp>

#include <array>
#include <mutex>
#include <string>
#include <vector>

namespace shale::snapshot {

struct Node {
    // Regular: size. Devices: major << 32 | minor. Symlink: offset in `targets` << 32 | length.
    std::uint64_t value = 0;
    std::int64_t mtime_ns = 0;
    NodeId parent = kNoNode;
    NodeId end = 0;  // one past the subtree
    std::uint32_t name_offset = 0;
    std::uint32_t first_slot = 0;  // children are child_slots[first_slot, + child_count)
    std::uint32_t child_count = 0;
    std::uint32_t uid = 0, gid = 0;
    std::uint32_t xattr_set = 0;   // index into xattr_sets; 0 is the empty set
    std::uint32_t link_group = 0;  // index into group_digests; 0 is no group
    std::uint16_t mode = 0;
    FileType type = FileType::Directory;
    std::uint8_t name_bytes = 0;
};
static_assert(sizeof(Node) == 56, "the memory bound of a million entries counts on it");

// Same metadata and size: with equal contents, what hard links of one inode share.
bool is_same_inode(const Node& a, const Node& b);

// Names and link targets are addressed by 32-bit offsets.
inline constexpr std::uint64_t kPoolLimit = 0xffffffff;

// SHA-256 of the empty string: what an empty regular file's content is.
extern const Digest kEmptyContent;

struct Tree::Data {
    std::vector<Node> nodes;
    std::vector<Digest> contents;  // per node; zero for all but regular files
    std::vector<Digest> digests;   // per node
    std::vector<NodeId> child_slots;
    std::string names, targets;  // in node order, without separators
    std::vector<std::vector<Xattr>> xattr_sets{1};
    std::vector<Digest> xattr_digests{1};
    // Per link group: SHA-256 over the paths of all its members. It is part of each member's
    // digest, so a subtree with a changed link structure never looks unchanged.
    std::vector<Digest> group_digests{1};

    // Key digests are made on demand, subtree by subtree; a zero digest is one not made yet.
    struct KeyTable {
        std::mutex mutex;
        std::vector<Digest> digests;
    };
    mutable std::array<KeyTable, 4> keys;  // by KeyPolicy

    std::string_view name(NodeId node) const {
        return {names.data() + nodes[node].name_offset, nodes[node].name_bytes};
    }
    std::string_view target(NodeId node) const {
        const std::uint64_t value = nodes[node].value;
        return {targets.data() + (value >> 32), static_cast<std::uint32_t>(value)};
    }
    bool is_directory(NodeId node) const { return nodes[node].type == FileType::Directory; }
    std::string path(NodeId node) const;
    NodeId child(NodeId directory, std::string_view name) const;
};

// True for a name a directory can hold: 1..255 bytes, no '/', no NUL, not "." or "..".
bool is_valid_name(std::string_view name);

// From `end` of every node, which must be right: the per-directory child index.
void index_children(Tree::Data& data);

}  // namespace shale::snapshot
