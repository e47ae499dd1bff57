#include "rolling_chunker.hpp"

#include <algorithm>

namespace shale::layer {

bool RollingChunker::roll(std::uint8_t byte) {
    constexpr std::uint32_t kMask = (1u << 16) - 1;
    const std::uint32_t dropped = std::exchange(window_[window_at_], byte);
    window_at_ = (window_at_ + 1) % kWindow;
    sum1_ += byte - dropped;
    sum2_ += sum1_ - static_cast<std::uint32_t>(kWindow) * (dropped + kOffset);
    return (sum2_ & kMask) == kMask;
}

void RollingChunker::end_data(std::vector<Chunk>& ended) {
    if (data_ > 0) ended.push_back({std::exchange(data_, 0), false});
}

void RollingChunker::add_data(std::uint8_t byte, std::vector<Chunk>& ended) {
    ++data_;
    if (roll(byte) || data_ == kMostBytes) end_data(ended);
}

// The zeros seen are all that follow one another.
void RollingChunker::end_zeros(std::vector<Chunk>& ended) {
    if (zeros_ < kLeastZeros) {
        for (; zeros_ > 0; --zeros_)
            add_data(0, ended);
        return;
    }
    end_data(ended);
    for (std::size_t i = 0; i < kWindow; ++i)  // more change nothing any more
        roll(0);
    for (; zeros_ > 0; zeros_ -= ended.back().bytes)
        ended.push_back({std::min(zeros_, kMostBytes), true});
}

void RollingChunker::take(Bytes bytes, std::vector<Chunk>& ended) {
    for (const std::byte value : bytes) {
        const auto byte = static_cast<std::uint8_t>(value);
        if (byte != 0) {
            if (zeros_ > 0) end_zeros(ended);
            add_data(byte, ended);
        } else if (++zeros_ == kLeastZeros + kMostBytes) {
            // What is left is a run of zeros by itself, whatever follows.
            end_data(ended);
            ended.push_back({kMostBytes, true});
            zeros_ = kLeastZeros;
        }
    }
}

void RollingChunker::finish(std::vector<Chunk>& ended) {
    end_zeros(ended);
    end_data(ended);
    *this = {};
}

}  // namespace shale::layer
