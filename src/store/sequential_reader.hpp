// Reading a long blob from front to back, around the page cache, as it was written.
#pragma once

#include <shale/base.hpp>
#include <shale/uncached_writer.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

namespace shale::store {

// A layer that is rebuilt takes nearly all frames of its predecessor, in their order. That file was
// written around the cache (UncachedWriter), and its pages would be read this once. For one thread
// at a time.
class SequentialReader {
  public:
    // False if the caller had better read it in the usual way: near the beginning of the file,
    // which is in the cache; where the last read did not end; or where the file system cannot do
    // it. Then `out` holds nothing.
    bool read(const std::string& path, std::uint64_t offset, MutableBytes out);
    // Whether a read there would follow on the last one.
    bool is_near(const std::string& path, std::uint64_t offset) const;
    std::uint64_t direct_bytes() const { return direct_bytes_; }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    bool continues(const std::string& path, std::uint64_t offset, std::uint64_t bytes);
    bool fill(std::uint64_t offset);

    std::string path_;
    UniqueFd fd_;            // opened when the second read follows on the first
    std::uint64_t end_ = 0;  // of the last read
    std::unique_ptr<std::byte[], Free> window_;
    std::uint64_t window_begin_ = 0, window_end_ = 0;  // in the file
    std::uint64_t direct_bytes_ = 0;
};

}  // namespace shale::store
