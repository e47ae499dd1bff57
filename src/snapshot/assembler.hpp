// Assembler: appends nodes in depth-first order and turns them into a finished tree. The one place
// where node arrays are filled, for scans, edits and merges alike.
#pragma once

#include "tree_data.hpp"

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace shale::snapshot {

// The views that an Entry of `spec` would hold.
Entry view_of(const EntrySpec& spec);
// What an entry says of a node by itself: neither name nor place, xattrs nor link target.
Node node_of(const Entry& entry);
Digest content_of(const Entry& entry);
bool can_link(FileType type);

struct Piece;

class Assembler {
  public:
    // `base`, if any, is the tree that this one will mostly be; it must outlive finish(), as must
    // all from which subtrees are copied.
    explicit Assembler(const Tree::Data* base = nullptr);

    // The caller appends in depth-first order with ascending names; the first is the root, with
    // parent kNoNode and an empty name. Fields that mean nothing for the type are dropped.
    NodeId append(NodeId parent, std::string_view name, const Entry& entry);
    struct Changes {
        std::uint64_t first_group = 0;  // numbers of link groups are raised by it; 0 for the base
        bool whole_seconds = false;     // times lose their fractions
    };
    // The subtree of `tree` at `top`, under its own name. Costs a copy, and hashing what changes.
    void append_subtree(NodeId parent, const Tree::Data& tree, NodeId top, const Changes& changes);
    // For contents that become known after the node was appended.
    void set_content(NodeId node, const Digest& content, std::uint64_t size);
    void set_metadata(NodeId node, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                      std::int64_t mtime_ns);
    // Makes `node` equal to `from` in everything but name: another name of the same inode.
    void copy_inode(NodeId node, NodeId from);
    std::uint64_t size_of(NodeId node) const { return data_->nodes[node].value; }
    std::string path(NodeId node) const { return data_->path(node); }

    // Numbers link groups, indexes children, computes digests.
    Tree finish();

  private:
    struct LinkMember {
        NodeId node;
        std::uint32_t base_group;  // 0: not copied from the base
        std::uint64_t group;       // as the caller numbers them
    };
    NodeId next_id() const;
    std::uint32_t append_name(std::string_view name);
    void append_piece(NodeId parent, const Tree::Data& tree, NodeId top, const Piece& piece,
                      const Changes& changes);
    std::vector<std::uint32_t>& sets_of(const Tree::Data& tree);
    void close_subtrees();
    void number_groups();
    void digest_groups();

    const Tree::Data* base_;
    std::unique_ptr<Tree::Data> data_;
    std::vector<std::uint8_t> dirty_;  // per node: digest not known
    std::vector<LinkMember> members_;
    XattrSets sets_;
    // Of trees that were copied from: their set -> ours, 0 = not met yet.
    std::map<const Tree::Data*, std::vector<std::uint32_t>> copied_sets_;
};

}  // namespace shale::snapshot
