#include "piece_cutter.hpp"

#include <algorithm>

namespace shale::store {

namespace {

// One random number per byte value: splitmix64 from a fixed seed.
constexpr std::array<std::uint64_t, 256> kGear = [] {
    std::array<std::uint64_t, 256> table{};
    std::uint64_t state = 0x5ba1e;
    for (auto& value : table) {
        std::uint64_t mixed = state += 0x9e3779b97f4a7c15ull;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
        value = mixed ^ mixed >> 31;
    }
    return table;
}();

// Bytes that the hash depends on.
constexpr std::size_t kWindow = 64;

}  // namespace

void PieceCutter::end_piece() {
    out_(as_bytes(piece_));
    piece_.clear();
    hash_ = 0;
}

void PieceCutter::add(Bytes bytes) {
    while (!bytes.empty()) {
        // Where no cut can be, nothing is hashed.
        if (piece_.size() + kWindow < kLeastBytes) {
            const auto skipped = std::min(bytes.size(), kLeastBytes - kWindow - piece_.size());
            piece_.append(as_text(bytes.first(skipped)));
            bytes = bytes.subspan(skipped);
            continue;
        }
        const std::size_t most = std::min(bytes.size(), kMostBytes - piece_.size());
        std::size_t at = 0;
        bool ends = false;
        while (at < most && !ends) {
            hash_ = (hash_ << 1) + kGear[std::to_integer<std::uint8_t>(bytes[at++])];
            ends = (hash_ & kCutMask) == 0 && piece_.size() + at >= kLeastBytes;
        }
        piece_.append(as_text(bytes.first(at)));
        bytes = bytes.subspan(at);
        if (ends || piece_.size() == kMostBytes) end_piece();
    }
}

void PieceCutter::finish() {
    if (!piece_.empty()) end_piece();
}

}  // namespace shale::store
