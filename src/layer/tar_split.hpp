// tar-split: what a tar is apart from the contents, so that it can be put together again from
// these. Lines of JSON (vbatts/tar-split tar/storage), compressed as they are made.
#pragma once

#include <shale/codec.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace shale::layer {

class TarSplit {
  public:
    explicit TarSplit(int zstd_level);

    // What precedes a member's content: the padding of the one before, and its header.
    void add_segment(std::string_view bytes);
    // The member of this name in the tar. `crc64` is that of its content, if it has one.
    void add_file(std::string_view name, std::uint64_t size, std::uint64_t crc64);

    // Ends it. The compressed lines, and how many bytes they are.
    std::string finish();
    std::uint64_t bytes() const { return bytes_; }

  private:
    void put(const std::string& line);

    std::string packed_;
    codec::StreamCompressor stream_;
    std::uint64_t bytes_ = 0, position_ = 0;
};

}  // namespace shale::layer
