// The memory layout behind Tree, shared by everything in this folder that makes or reads trees.
//
// A tree is a handful of flat arrays indexed by NodeId. Nodes lie in depth-first order with names
// byte-sorted per directory, so a subtree is the range [node, end) and its names are one contiguous
// piece of the name pool. That is what lets an edit copy untouched subtrees as ranges, digests
// included. One entry costs 56 (Node) + 32 (content) + 32 (digest) + 4 (child slot) = 124 bytes and
// its name; xattr sets and link groups are shared tables.
//
// The arrays are either in memory, filled by an Assembler or a parser and known to be right, or a
// mapped file's, which nobody has looked at yet. A tree that an edit left mostly as it was has
// none: it is a patch on another. So whatever reads a tree goes through the methods of Data, which
// check a mapped file first and know whose arrays to look at; only those who fill a tree touch the
// columns.
#pragma once

#include "column.hpp"

#include <shale/snapshot.hpp>

#include <array>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace shale::snapshot {

class MappedFile;
struct Patch;
struct Spot;

struct Node {
    // Regular: size. Devices: major << 32 | minor. Symlink: offset in `targets` << 32 | length.
    std::uint64_t value = 0;
    std::int64_t mtime_ns = 0;
    NodeId parent = kNoNode;
    NodeId end = 0;  // one past the subtree
    std::uint32_t name_offset = 0;
    std::uint32_t first_slot = 0;  // children are child_slots from here to the next node's
    std::uint16_t depth = 0;       // 0 for the root
    std::uint16_t reserved = 0;
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

// Numbers of the xattr sets of a tree, by digest.
using XattrSets = std::unordered_map<Digest, std::uint32_t, DigestHash>;

struct Tree::Data {
    Data();
    ~Data();

    Column<Node> nodes;
    Column<Digest> contents;  // per node; zero for all but regular files
    Column<Digest> digests;   // per node
    Column<NodeId> child_slots;
    Column<char> names, targets;  // in node order, without separators
    std::vector<std::vector<Xattr>> xattr_sets{1};
    std::vector<Digest> xattr_digests{1};
    // Per link group, from 1: SHA-256 over the paths of all its members. It is part of each
    // member's digest, so a subtree with a changed link structure never looks unchanged.
    Column<Digest> group_digests;
    std::unique_ptr<const MappedFile> file;  // null: the tree lies in memory
    // If it is set, no column above holds anything, and the xattr sets begin with those of the
    // base.
    std::unique_ptr<const Patch> patch;

    // Key digests are made on demand, subtree by subtree. Those of directories stay: what a file's
    // is follows from the file.
    struct KeyTable {
        std::mutex mutex;
        std::unordered_map<NodeId, Digest> directories;
    };
    mutable std::array<KeyTable, 4> keys;  // by KeyPolicy

    NodeId size() const {
        if (patch) return patched_size();
        return static_cast<NodeId>(nodes.size());
    }
    Node node(NodeId id) const {
        if (patch) return patched_node(id);
        if (file) require_node(id);
        return nodes[id];
    }
    std::string_view name(NodeId id) const {
        if (patch) return patched_name(id);
        if (file) require_node(id);
        return {names.data() + nodes[id].name_offset, nodes[id].name_bytes};
    }
    const Digest& content(NodeId id) const {
        if (patch) return patched_content(id);
        if (file) require_content(id);
        return contents[id];
    }
    const Digest& digest(NodeId id) const {
        if (patch) return patched_digest(id);
        if (file) require_digest(id);
        return digests[id];
    }
    std::uint32_t group_count() const;
    const Digest& group_digest(std::uint32_t group) const;
    std::string_view target(NodeId id) const;
    bool is_directory(NodeId id) const { return node(id).type == FileType::Directory; }
    std::string path(NodeId id) const;
    NodeId child(NodeId directory, std::string_view name) const;
    NodeId first_child(NodeId id) const;
    NodeId next_sibling(NodeId id) const;
    std::uint32_t child_count(NodeId id) const;
    NodeId child_at(NodeId directory, std::uint32_t index) const;
    // Corrupt if a mapped file's nodes in [top, end) are not one well-formed subtree; then its
    // columns, or those of the spots it lies in, may be read directly.
    void require_subtree(NodeId top) const;
    // Where node `id` of a patch lies.
    Spot spot(NodeId id) const;

    // For those who fill a tree: what Node::value of a link is, and the number of a set.
    std::uint64_t append_target(std::string_view target);
    std::uint32_t intern(std::span<const Xattr> xattrs, XattrSets& sets);

  private:
    void require_patched_subtree(NodeId top) const;
    NodeId patched_size() const;
    NodeId patched_next_sibling(NodeId id) const;
    Node patched_node(NodeId id) const;
    std::string_view patched_name(NodeId id) const;
    const Digest& patched_content(NodeId id) const;
    const Digest& patched_digest(NodeId id) const;
    void require_node(NodeId id) const;
    void require_content(NodeId id) const;
    void require_digest(NodeId id) const;
    void require_child(NodeId parent, NodeId child) const;
};

// True for a name a directory can hold: 1..255 bytes, no '/', no NUL, not "." or "..".
bool is_valid_name(std::string_view name);

// From `end` and `parent` of every node, which must be right: depths and the child index.
void index_children(Tree::Data& data);

}  // namespace shale::snapshot
