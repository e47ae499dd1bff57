// The bytes of a snapshot file and of a patch, as docs/formats/snapshot.md and tree-patch.md lay
// them out. Shared by the writers and the readers of this folder.
#pragma once

#include <shale/base.hpp>
#include <shale/checksum.hpp>

#include <cstdint>
#include <type_traits>

namespace shale::snapshot {

inline constexpr char kMagic[8] = {'S', 'H', 'A', 'L', 'E', 'S', 'N', 'P'};
inline constexpr std::uint32_t kVersion = 2, kFirstVersion = 1;

inline constexpr std::uint64_t kDigestBytes = 32;
using codec::kChecksumBytes;

// ---------------------------------------------------------------------------------------------
// Version 2: the arrays of a tree as they lie in memory (Node of tree_data.hpp), so that a mapped
// file is a tree. Every piece has a checksum of its own, so that only what is looked at is read.

struct DiskHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t node_count;
    std::uint64_t names_bytes;
    std::uint64_t targets_bytes;
    std::uint64_t xattr_bytes;
    std::uint32_t xattr_set_count;  // the empty set not included
    std::uint32_t link_group_count;
    std::uint64_t reserved[2];  // zero
};
static_assert(sizeof(DiskHeader) == 64 && std::is_trivially_copyable_v<DiskHeader>);

inline constexpr std::uint64_t kNodeBytes = 56;
inline constexpr std::uint64_t kSlotBytes = 4;
inline constexpr std::uint64_t kAlignment = 64;        // of every section
inline constexpr std::uint64_t kPieceBytes = 4 << 10;  // what one checksum covers
inline constexpr std::uint64_t kSumBytes = 8;

// Where the sections begin. Follows from the header.
struct Layout {
    std::uint64_t nodes, slots, contents, digests, groups, names, targets, xattrs;
    std::uint64_t sums;  // of the pieces of all that lies before
    std::uint64_t pieces;
    std::uint64_t bytes;  // of the file
};

constexpr Layout layout_of(const DiskHeader& header) {
    const auto aligned = [](std::uint64_t at) { return (at + kAlignment - 1) & ~(kAlignment - 1); };
    const std::uint64_t count = header.node_count;
    Layout at{};
    at.nodes = sizeof(DiskHeader);
    at.slots = aligned(at.nodes + count * kNodeBytes);
    at.contents = aligned(at.slots + (count - 1) * kSlotBytes);
    at.digests = aligned(at.contents + count * kDigestBytes);
    at.groups = aligned(at.digests + count * kDigestBytes);
    at.names = aligned(at.groups + (header.link_group_count + std::uint64_t{1}) * kDigestBytes);
    at.targets = aligned(at.names + header.names_bytes);
    at.xattrs = aligned(at.targets + header.targets_bytes);
    at.sums = aligned(at.xattrs + header.xattr_bytes);
    at.pieces = (at.sums + kPieceBytes - 1) / kPieceBytes;
    at.bytes = at.sums + at.pieces * kSumBytes + kChecksumBytes;
    return at;
}

// ---------------------------------------------------------------------------------------------
// A patch: own nodes, their contents, digests, names and link targets, new xattr sets, runs, and
// the XXH3-128 of all that precedes it.

inline constexpr char kPatchMagic[8] = {'S', 'H', 'A', 'L', 'E', 'P', 'A', 'T'};
inline constexpr std::uint32_t kPatchVersion = 1;

struct PatchHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t node_count;  // of the whole tree
    std::uint32_t own_count;
    std::uint32_t run_count;
    std::uint32_t base_set_count;  // the empty set not included
    std::uint32_t new_set_count;
    std::uint64_t names_bytes;
    std::uint64_t targets_bytes;
    std::uint64_t xattr_bytes;
    std::uint64_t reserved;  // zero
    Digest base, tree;
};
static_assert(sizeof(PatchHeader) == 128 && std::is_trivially_copyable_v<PatchHeader>);

// ---------------------------------------------------------------------------------------------
// Version 1, still read: nodes, contents of regular files, digests, group digests, names, targets,
// xattr sets, and the XXH3-128 of all that precedes it.

struct DiskHeader1 {
    char magic[8];
    std::uint32_t version;
    std::uint32_t node_count;
    std::uint64_t names_bytes;
    std::uint64_t targets_bytes;
    std::uint64_t xattr_bytes;
    std::uint32_t content_count;
    std::uint32_t xattr_set_count;
    std::uint32_t link_group_count;
    std::uint32_t reserved;  // zero
};
static_assert(sizeof(DiskHeader1) == 56 && std::is_trivially_copyable_v<DiskHeader1>);

struct DiskNode1 {
    std::uint64_t value;  // size, device numbers, or length of the link target
    std::int64_t mtime_ns;
    std::uint32_t end;
    std::uint32_t uid, gid;
    std::uint32_t xattr_set;
    std::uint32_t link_group;
    std::uint16_t mode;
    std::uint8_t type;
    std::uint8_t name_bytes;
};
static_assert(sizeof(DiskNode1) == 40 && std::is_trivially_copyable_v<DiskNode1>);

}  // namespace shale::snapshot
