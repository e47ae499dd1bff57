// A gear hash over the last 64 bytes, and the bounds within which it decides.
#include <shale/chunker.hpp>

#include <algorithm>
#include <array>
#include <bit>

namespace shale::codec {

namespace {

constexpr std::size_t kWindowBytes = 64;

// Numbers without structure: splitmix64 of the byte. Part of the format of layers: other numbers
// would give other frames to the same input.
constexpr std::array<std::uint64_t, 256> make_gears() {
    std::array<std::uint64_t, 256> gears{};
    std::uint64_t state = 0;
    for (std::uint64_t& gear : gears) {
        state += 0x9E3779B97F4A7C15ull;
        std::uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        gear = z ^ (z >> 31);
    }
    return gears;
}

constexpr auto kGears = make_gears();

}  // namespace

// The highest bits of the hash depend on the whole window; enough of them must be zero for one
// boundary in least_ bytes.
Chunker::Chunker(std::uint64_t target_bytes)
    : least_(std::max<std::uint64_t>(target_bytes / 2, 2 * kWindowBytes)),
      most_(std::max(2 * target_bytes, 2 * least_)),
      mask_(~0ull << (64 - (std::bit_width(least_) - 1))) {}

std::size_t Chunker::take(Bytes bytes) {
    std::size_t at = 0;
    // The window must be full when the first boundary may come.
    const std::uint64_t silent = least_ - kWindowBytes;
    if (length_ < silent) at = std::min<std::uint64_t>(bytes.size(), silent - length_);
    const std::size_t end = std::min<std::uint64_t>(bytes.size(), most_ - length_);
    for (; at < end; ++at) {
        hash_ = (hash_ << 1) + kGears[std::to_integer<std::uint8_t>(bytes[at])];
        if ((hash_ & mask_) == 0 && length_ + at + 1 >= least_) {
            length_ = hash_ = 0;
            return at + 1;
        }
    }
    length_ += end;
    if (length_ == most_) length_ = hash_ = 0;
    return end;
}

}  // namespace shale::codec
