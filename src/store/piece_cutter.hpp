// Cuts a stream of bytes into pieces where its content says so, so that an insertion changes the
// pieces around it and no others.
#pragma once

#include <shale/base.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <string>

namespace shale::store {

class PieceCutter {
  public:
    static constexpr std::size_t kLeastBytes = 16 << 10, kMostBytes = 256 << 10;

    explicit PieceCutter(std::function<void(Bytes)> out) : out_(std::move(out)) {}
    void add(Bytes bytes);
    void finish();  // the last piece, if any

  private:
    // A cut where these bits of the rolling hash are zero: on average 32 KiB beyond the least.
    static constexpr std::uint64_t kCutMask = 0x7fffull << 40;

    void end_piece();

    std::function<void(Bytes)> out_;
    std::string piece_;
    std::uint64_t hash_ = 0;  // of the last 64 bytes, the oldest shifted out
};

}  // namespace shale::store
