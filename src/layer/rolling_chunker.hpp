// Where podman's zstd:chunked writer cuts a content: at runs of zeros, which become chunks of their
// own, and elsewhere where a rolling sum of the last 64 bytes ends in 16 one bits
// (containers/storage pkg/chunked/compressor). Readers accept any cuts; equal cuts let them find
// chunks again that they have from layers of other builders.
#pragma once

#include <shale/base.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace shale::layer {

class RollingChunker {
  public:
    struct Chunk {
        std::uint64_t bytes = 0;
        bool zeros = false;
    };
    // Unlike there, no chunk is longer than this: whoever writes or reads one holds it in memory.
    static constexpr std::uint64_t kMostBytes = 4 << 20;
    static constexpr std::uint64_t kLeastZeros = 1024;

    // Appends the chunks of which `bytes`, which follow those of the last call, show the end.
    void take(Bytes bytes, std::vector<Chunk>& ended);
    // Ends the content, and begins another.
    void finish(std::vector<Chunk>& ended);

  private:
    bool roll(std::uint8_t byte);  // true behind the last byte of a chunk
    void add_data(std::uint8_t byte, std::vector<Chunk>& ended);
    void end_zeros(std::vector<Chunk>& ended);
    void end_data(std::vector<Chunk>& ended);

    static constexpr std::size_t kWindow = 64;
    static constexpr std::uint32_t kOffset = 31;

    std::uint32_t sum1_ = kWindow * kOffset, sum2_ = kWindow * (kWindow - 1) * kOffset;
    std::array<std::uint8_t, kWindow> window_{};
    std::size_t window_at_ = 0;
    std::uint64_t data_ = 0;   // bytes of the chunk at hand
    std::uint64_t zeros_ = 0;  // behind them, of which it is not known yet what they belong to
};

}  // namespace shale::layer
