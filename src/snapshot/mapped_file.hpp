// A snapshot file of version 2 that is read where it lies.
#pragma once

#include "disk_format.hpp"
#include "tree_data.hpp"

#include <atomic>
#include <memory>

namespace shale::snapshot {

// Stands between a mapped tree and whoever reads it: nothing is looked at before the checksum of
// its piece was compared, and no node before it was found possible. Both are remembered, so that
// each is done once. Safe from any thread.
class MappedFile {
  public:
    // Checks header, size and the table of checksums. Corrupt or Unsupported.
    explicit MappedFile(Mapping mapping);
    // A file in memory, which must stay there.
    explicit MappedFile(Bytes bytes);

    const DiskHeader& header() const { return header_; }
    const Layout& layout() const { return layout_; }
    Bytes section(std::uint64_t offset, std::uint64_t bytes) const {
        return bytes_.subspan(offset, bytes);
    }

    // Corrupt if a piece that holds one of these bytes is damaged.
    void require(std::uint64_t offset, std::uint64_t bytes) const;
    void require_all() const { require(0, layout_.sums); }
    // Corrupt if the node has impossible fields or a name that no directory can hold. What nodes
    // say of each other is checked by Tree::Data where it goes from one to the other.
    void require_node(const Tree::Data& data, NodeId node) const {
        if (node >= header_.node_count) reject("a node out of bounds");
        if (!nodes_known_[node / kNodesAtOnce].load(std::memory_order_acquire))
            check_nodes(data, node / kNodesAtOnce);
    }
    [[noreturn]] void reject(const std::string& why) const;

  private:
    // Few, because a look-up far away pays for all of them.
    static constexpr NodeId kNodesAtOnce = 16;
    using Flags = std::unique_ptr<std::atomic<bool>[]>;

    void read_header();
    void check_piece(std::uint64_t piece) const;
    void check_nodes(const Tree::Data& data, NodeId block) const;
    void check_fields(const Tree::Data& data, NodeId id) const;

    Mapping mapping_;
    Bytes bytes_;
    DiskHeader header_{};
    Layout layout_{};
    Flags pieces_known_, nodes_known_;
};

}  // namespace shale::snapshot
