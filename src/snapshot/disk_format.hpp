// The bytes of a snapshot file, as docs/formats/snapshot.md lays them out. Shared by the writer and
// the reader of this folder.
#pragma once

#include <cstdint>
#include <type_traits>

namespace shale::snapshot {

inline constexpr char kMagic[8] = {'S', 'H', 'A', 'L', 'E', 'S', 'N', 'P'};
inline constexpr std::uint32_t kVersion = 1;

// Then follow: nodes, contents of regular files, digests, group digests, names, targets, xattr
// sets, and the XXH3-128 of all that precedes it.
struct DiskHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t node_count;
    std::uint64_t names_bytes;
    std::uint64_t targets_bytes;
    std::uint64_t xattr_bytes;
    std::uint32_t content_count;
    std::uint32_t xattr_set_count;  // the empty set not included
    std::uint32_t link_group_count;
    std::uint32_t reserved;  // zero
};
static_assert(sizeof(DiskHeader) == 56 && std::is_trivially_copyable_v<DiskHeader>);

struct DiskNode {
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
static_assert(sizeof(DiskNode) == 40 && std::is_trivially_copyable_v<DiskNode>);

inline constexpr std::uint64_t kDigestBytes = 32;
inline constexpr std::uint64_t kChecksumBytes = 16;

}  // namespace shale::snapshot
