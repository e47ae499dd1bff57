// chunker: content-defined chunks: a boundary lies where the last 64 bytes say so, so bytes
// inserted or removed change the chunks they touch and no others. Another door of codec.
//
// A gear hash: one shift, one addition and one table look-up per byte; a byte leaves the 64-bit
// hash after 64 steps. Bytes below the least chunk are not looked at, which halves the work.
#pragma once

#include <shale/base.hpp>

#include <cstdint>

namespace shale::codec {

// Not safe from several threads; nothing fails.
class Chunker {
  public:
    // Chunks of half to twice `target_bytes`.
    explicit Chunker(std::uint64_t target_bytes);
    // How many of `bytes`, which continue the content, belong to the current chunk. If the chunk
    // ends with them is_complete() says so, and the next call begins another chunk.
    std::size_t take(Bytes bytes);
    bool is_complete() const { return length_ == 0; }
    std::uint64_t most() const { return most_; }

  private:
    std::uint64_t least_, most_, mask_;
    std::uint64_t length_ = 0, hash_ = 0;
};

}  // namespace shale::codec
