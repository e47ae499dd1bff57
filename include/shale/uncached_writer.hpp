// uncached_writer: writes long files around the page cache.
//
// Another door of `base`. A page that the kernel must find for a file nobody reads soon costs more
// than compressing what is in it (docs/benchmarks.md, "Long files"), and pushes out what is read.
#pragma once

#include <shale/base.hpp>

#include <exception>
#include <memory>
#include <string>
#include <thread>

namespace shale {

// One file, from its beginning to its end. Its first part goes into the page cache, since a short
// file is mostly read again at once; of what follows, whole blocks go to the device directly, on a
// thread of their own. Where the file system cannot do that, all goes into the page cache.
// For one thread at a time.
class UncachedWriter {
  public:
    static constexpr std::uint64_t kCachedBytes = 64 << 20;
    static constexpr std::uint64_t kAllCached = std::uint64_t{1} << 62;

    // `fd` is an empty file open for writing, and outlives the writer; the subject names it in
    // messages. `cached_bytes`, a multiple of 4096, is how long the first part is.
    UncachedWriter(int fd, std::string subject, std::uint64_t cached_bytes = kCachedBytes);
    ~UncachedWriter();  // without finish(): what was written last may be missing
    UncachedWriter(const UncachedWriter&) = delete;
    UncachedWriter& operator=(const UncachedWriter&) = delete;

    // System, also for what an earlier call had handed on.
    void write(Bytes bytes);
    // When it returns, everything is in the file, though not synced. Nothing can follow.
    void finish();
    // Of the file, that did not go into the page cache.
    std::uint64_t direct_bytes() const { return direct_bytes_; }

  private:
    struct Block;
    struct Pipeline;

    void write_direct(Bytes bytes);
    void hand_on();
    void write_blocks(Pipeline& pipeline);
    void write_block(Bytes bytes);
    void stop();
    bool set_direct(bool is_direct);

    int fd_;
    std::string subject_;
    std::uint64_t cached_left_;
    std::unique_ptr<Pipeline> pipeline_;  // once the first part is full
    Block* filling_ = nullptr;
    // The thread's until it was joined.
    bool is_direct_ = false;
    std::uint64_t direct_bytes_ = 0;
    std::exception_ptr failure_;
    std::jthread thread_;
};

}  // namespace shale
