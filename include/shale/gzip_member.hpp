// codec: gzip in pieces. A gzip file is a row of members, each complete by itself; formats that are
// read piecemeal begin one wherever a reader may begin.
#pragma once

#include <shale/base.hpp>

#include <memory>
#include <string>

namespace shale::codec {

// One object per thread. Same input, level and library version give the same bytes.
class GzipMemberCompressor {
  public:
    explicit GzipMemberCompressor(int level);  // 0..9; Invalid otherwise
    GzipMemberCompressor(GzipMemberCompressor&&) noexcept;
    ~GzipMemberCompressor();
    // Appends one whole member to `out`: no name, no time.
    void compress(Bytes content, std::string& out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// CRC-64 of ISO 3309, as Go's hash/crc64 computes it: `crc` is 0 or what came before.
std::uint64_t crc64_iso(std::uint64_t crc, Bytes bytes);

}  // namespace shale::codec
