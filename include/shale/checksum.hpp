// checksum: the last bytes of our own files, which tell damage. Another door of codec.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <string>

namespace shale::codec {

// XXH3-128, low half first.
inline constexpr std::uint64_t kChecksumBytes = 16;

// Of all that is in `out`, behind it.
void append_checksum(std::string& out);
// Whether the last bytes are that of those before. False for fewer than kChecksumBytes.
bool has_checksum(Bytes bytes);

}  // namespace shale::codec
