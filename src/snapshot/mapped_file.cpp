// Checks made on first touch.
#include "mapped_file.hpp"

#include <shale/checksum.hpp>
#include <shale/codec.hpp>

namespace shale::snapshot {

MappedFile::MappedFile(Mapping mapping) : mapping_(std::move(mapping)), bytes_(mapping_.bytes()) {
    read_header();
}

MappedFile::MappedFile(Bytes bytes) : bytes_(bytes) {
    read_header();
}

void MappedFile::reject(const std::string& why) const {
    fail(ErrorKind::Corrupt, "snapshot: " + why);
}

void MappedFile::read_header() {
    if (bytes_.size() < sizeof header_) reject("file too short");
    std::memcpy(&header_, bytes_.data(), sizeof header_);
    if (std::memcmp(header_.magic, kMagic, sizeof kMagic) != 0) reject("wrong magic");
    SHALE_ENSURE(header_.version == kVersion);  // whoever opens it has looked
    if (header_.node_count == 0 || header_.node_count == kNoNode ||
        header_.names_bytes > kPoolLimit || header_.targets_bytes > kPoolLimit ||
        header_.xattr_bytes > bytes_.size() || header_.reserved[0] != 0 || header_.reserved[1] != 0)
        reject("impossible header");
    layout_ = layout_of(header_);
    if (layout_.bytes != bytes_.size()) reject("section lengths do not add up");
    if (!codec::has_checksum(bytes_.subspan(layout_.sums)))
        reject("checksum mismatch in the table of checksums");
    pieces_known_ = std::make_unique<std::atomic<bool>[]>(layout_.pieces);
    nodes_known_ = std::make_unique<std::atomic<bool>[]>(header_.node_count / kNodesAtOnce + 1);
    require(0, sizeof header_);
}

void MappedFile::require(std::uint64_t offset, std::uint64_t bytes) const {
    if (bytes == 0) return;
    const std::uint64_t last = (offset + bytes - 1) / kPieceBytes;
    for (std::uint64_t piece = offset / kPieceBytes; piece <= last; ++piece)
        if (!pieces_known_[piece].load(std::memory_order_acquire)) check_piece(piece);
}

void MappedFile::check_piece(std::uint64_t piece) const {
    const std::uint64_t at = piece * kPieceBytes;
    std::uint64_t wanted = 0;
    std::memcpy(&wanted, bytes_.data() + layout_.sums + piece * kSumBytes, sizeof wanted);
    const Bytes covered = bytes_.subspan(at, std::min(kPieceBytes, layout_.sums - at));
    if (codec::xxh3_64(covered) != wanted)
        reject("checksum mismatch at offset " + std::to_string(at));
    pieces_known_[piece].store(true, std::memory_order_release);
}

void MappedFile::check_nodes(const Tree::Data& data, NodeId block) const {
    const NodeId first = block * kNodesAtOnce;
    const NodeId end = std::min(first + kNodesAtOnce, header_.node_count);
    require(layout_.nodes + first * kNodeBytes, (end - first) * kNodeBytes);
    std::uint64_t names_at = data.nodes[first].name_offset;
    const std::uint64_t names_begin = names_at;
    for (NodeId id = first; id < end; ++id) {
        if (data.nodes[id].name_offset != names_at) reject("names out of place");
        names_at += data.nodes[id].name_bytes;
    }
    if (names_at > header_.names_bytes) reject("names out of bounds");
    require(layout_.names + names_begin, names_at - names_begin);
    for (NodeId id = first; id < end; ++id)
        check_fields(data, id);
    nodes_known_[block].store(true, std::memory_order_release);
}

void MappedFile::check_fields(const Tree::Data& data, NodeId id) const {
    const Node& node = data.nodes[id];
    const auto bad = [&](const char* why) { reject("node " + std::to_string(id) + ": " + why); };
    if (node.type > FileType::Socket || node.mode > 07777) bad("impossible type or mode");
    const bool is_directory = node.type == FileType::Directory;
    if (id == kRoot) {
        if (!is_directory || node.name_bytes != 0 || node.parent != kNoNode || node.depth != 0 ||
            node.end != header_.node_count)
            bad("the root is not a root");
    } else if (node.parent >= id || node.depth == 0 || node.depth > kMaxDepth) {
        bad("impossible parent");
    } else if (!is_valid_name({data.names.data() + node.name_offset, node.name_bytes})) {
        bad("impossible name");
    }
    if (node.end <= id || node.end > header_.node_count || (!is_directory && node.end != id + 1))
        bad("impossible subtree range");
    if (node.first_slot >= header_.node_count || node.xattr_set > header_.xattr_set_count ||
        node.link_group > header_.link_group_count || node.reserved != 0)
        bad("impossible reference");
    const bool is_link = node.type == FileType::Symlink;
    if (node.link_group != 0 && (is_directory || is_link)) bad("a link group where none can be");
    if (node.value != 0 &&
        (is_directory || node.type == FileType::Fifo || node.type == FileType::Socket))
        bad("a size where none can be");
    const auto target_bytes = static_cast<std::uint32_t>(node.value);
    if (is_link && (target_bytes == 0 || (node.value >> 32) + target_bytes > header_.targets_bytes))
        bad("link target out of bounds");
}

}  // namespace shale::snapshot
