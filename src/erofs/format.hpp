// The records of the format, as they lie: little endian, without padding of the compiler's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shale::erofs {

inline constexpr std::uint64_t kBlock = 4096;
inline constexpr unsigned kBlockBits = 12;
inline constexpr std::uint64_t kSuperOffset = 1024;
inline constexpr std::uint32_t kMagic = 0xE0F5E1E2;
inline constexpr std::uint32_t kIncompatChunkedFile = 0x4;
// Inode numbers count slots of this size from the start of the image.
inline constexpr std::uint64_t kSlot = 32;

struct SuperBlock {
    std::uint32_t magic = kMagic;
    std::uint32_t checksum = 0;  // not used: no feature bit says that there is one
    std::uint32_t feature_compat = 0;
    std::uint8_t block_bits = kBlockBits;
    std::uint8_t extension_slots = 0;
    std::uint16_t root_nid = 0;
    std::uint64_t inodes = 0;
    std::uint64_t build_time = 0;
    std::uint32_t build_time_ns = 0;
    std::uint32_t blocks = 0;
    std::uint32_t meta_block = 0;
    std::uint32_t xattr_block = 0;  // where shared attributes begin
    std::uint8_t uuid[16] = {};
    std::uint8_t volume_name[16] = {};
    std::uint32_t feature_incompat = kIncompatChunkedFile;
    std::uint8_t reserved[44] = {};
};
static_assert(sizeof(SuperBlock) == 128);
static_assert(offsetof(SuperBlock, root_nid) == 14 && offsetof(SuperBlock, blocks) == 36);
static_assert(offsetof(SuperBlock, feature_incompat) == 80);

enum class DataLayout : std::uint16_t {
    Plain = 0,   // whole blocks, `place` is the first one's number
    Inline = 2,  // the same, but the rest of a block follows the inode
    Chunked = 4  // a table of chunk addresses follows the inode
};

// The long form of an inode: the short one has no room for a time.
struct Inode {
    std::uint16_t format = 0;       // bit 0: long form; then the data layout
    std::uint16_t xattr_count = 0;  // (bytes of the attributes - 12) / 4 + 1, 0 without any
    std::uint16_t mode = 0;
    std::uint16_t reserved = 0;
    std::uint64_t size = 0;
    std::uint32_t place = 0;  // block number, device number or chunk format
    std::uint32_t number = 0;
    std::uint32_t uid = 0, gid = 0;
    std::int64_t mtime = 0;
    std::uint32_t mtime_ns = 0;
    std::uint32_t links = 0;
    std::uint8_t reserved2[16] = {};
};
static_assert(sizeof(Inode) == 64);
static_assert(offsetof(Inode, mtime) == 32 && offsetof(Inode, links) == 44);

// A chunk is as large as can be, 2^43 bytes, and one null address makes it a hole.
inline constexpr std::uint32_t kLargestChunk = 31;
inline constexpr unsigned kLargestChunkBits = kBlockBits + kLargestChunk;
inline constexpr std::uint32_t kHole = 0xffffffff;

// In front of an inode's attributes. The numbers of shared ones follow, then its own.
struct XattrHeader {
    std::uint32_t name_filter = 0;  // not used: no feature bit says that there is one
    std::uint8_t shared_count = 0;
    std::uint8_t reserved[7] = {};
};
static_assert(sizeof(XattrHeader) == 12);

// Name without its prefix and value follow, then zeros up to a multiple of four.
struct XattrEntry {
    std::uint8_t name_bytes = 0;
    std::uint8_t prefix = 0;
    std::uint16_t value_bytes = 0;
};
static_assert(sizeof(XattrEntry) == 4);

// A block of a directory: such records sorted by name, then the names without separators. The first
// record's name_offset tells how many records there are.
struct __attribute__((packed)) DirectoryEntry {
    std::uint64_t nid = 0;
    std::uint16_t name_offset = 0;
    std::uint8_t type = 0;
    std::uint8_t reserved = 0;
};
static_assert(sizeof(DirectoryEntry) == 12);

}  // namespace shale::erofs
