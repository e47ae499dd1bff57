// The compression function of SHA-256 over whole blocks, for one to three independent computations
// at once.
#pragma once

#include <shale/base.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace shale::codec {

inline constexpr std::size_t kShaBlockBytes = 64;
// More than three need more vector registers than there are, and are slower.
inline constexpr std::size_t kMaxShaLanes = 3;

using ShaWords = std::array<std::uint32_t, 8>;  // H0..H7 of FIPS 180-4
inline constexpr ShaWords kShaStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// One computation on its way through compress(). `data` advances by what was consumed.
struct ShaLane {
    ShaWords* words = nullptr;
    const std::byte* data = nullptr;
};

// `blocks` blocks of each of the `count` (1..kMaxShaLanes) lanes.
void sha256_compress(ShaLane* lanes, std::size_t count, std::size_t blocks);

// How sha256_compress() does it: our own instructions where the processor has them (x86-64 SHA
// extensions), OpenSSL's code elsewhere. Both are reachable by themselves for tests and benches.
enum class ShaKernel { Own, OpenSsl };
ShaKernel sha256_kernel();
void compress_with(ShaKernel kernel, ShaLane* lanes, std::size_t count, std::size_t blocks);

}  // namespace shale::codec
