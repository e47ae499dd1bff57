// The 512-byte header block of POSIX.1-1988 ("ustar"), as it lies in the archive.
#pragma once

#include <cstddef>

namespace shale::tar {

inline constexpr std::size_t kBlockBytes = 512;

struct UstarBlock {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char checksum[8];
    char type;
    char link_name[100];
    char magic[6], version[2];
    char user_name[32], group_name[32];
    char device_major[8], device_minor[8];
    char prefix[155];
    char unused[12];
};
static_assert(sizeof(UstarBlock) == kBlockBytes);

}  // namespace shale::tar
