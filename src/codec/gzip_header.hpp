// The ten bytes before a gzip member's deflate stream.
#pragma once

#include <string>

namespace shale::codec {

// RFC 1952: no flags, no time, the extra flags that zlib sets for the level, "Unix".
inline std::string gzip_header(int level) {
    constexpr int kBestSpeed = 1, kBestCompression = 9;
    std::string header("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
    header[8] = level == kBestCompression ? '\x02' : level == kBestSpeed ? '\x04' : '\0';
    return header;
}

}  // namespace shale::codec
