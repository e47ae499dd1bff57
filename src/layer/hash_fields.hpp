// Fields of fixed length on their way into a hash.
#pragma once

#include <shale/codec_state.hpp>

#include <span>
#include <type_traits>

namespace shale::layer {

// As it lies in memory, which is little-endian on every machine that this runs on.
template <typename Number>
requires std::is_arithmetic_v<Number> || std::is_enum_v<Number>
void put(codec::Sha256Stream& hash, Number number) {
    hash.update(std::as_bytes(std::span(&number, 1)));
}

inline void put(codec::Sha256Stream& hash, const Digest& digest) {
    hash.update(std::as_bytes(std::span(digest.bytes)));
}

}  // namespace shale::layer
