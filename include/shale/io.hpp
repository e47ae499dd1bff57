// io: reads many files with few system calls. One submit/complete interface, two engines behind it:
// io_uring and a pool of threads making plain calls. Both deliver the same bytes.
//
// An engine belongs to the thread that created it. Buffers handed to a completion are the engine's
// and valid only during the call. Errors are per file, as an errno; the engine itself throws only
// if it cannot work at all (ring set-up refused is not an error: create() falls back to threads and
// engine_name() tells). After an exception, from the engine or from the callback, it may only be
// destroyed; it waits for what is in flight then, so names and directories must still be valid.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace shale::io {

enum class EngineKind { Auto, Uring, Threads };

struct EngineOptions {
    EngineKind kind = EngineKind::Auto;
    unsigned depth = 64;   // requests in flight (io_uring); see docs/benchmarks.md
    unsigned threads = 2;  // workers of the thread engine
    // Piece size; a larger file arrives in several pieces. Larger than this was no faster, and
    // depth times this is what an engine keeps in memory, so that hashing finds it in the
    // second-level cache.
    std::uint32_t buffer_bytes = 64 << 10;
};

// A file that delivers this much more than its size_hint fails with EFBIG, so that nothing endless
// holds an engine for ever.
inline constexpr std::uint64_t kMaxGrowth = 1ull << 30;

struct FileRequest {
    int dir_fd = -1;  // open directory (O_PATH is enough); must stay open until completion
    const char* name = nullptr;   // one component, must stay valid until completion
    std::uint64_t size_hint = 0;  // bytes, from stat; the file may differ
    std::uint64_t tag = 0;        // returned in the completion
};

// One piece of one file. Pieces of a file come in order; files complete in any order.
struct Piece {
    std::uint64_t tag = 0;
    std::uint64_t offset = 0;
    Bytes bytes;
    bool last = false;  // set once per file, also for an empty file and after an error
    int error = 0;      // errno; bytes is empty
};
// Called on the thread inside submit() or drain(), with at least one piece. They are of different
// files, so whoever hashes them can do so side by side.
using OnPieces = std::function<void(std::span<const Piece>)>;

struct EngineStats {
    std::uint64_t opens = 0, reads = 0, bytes = 0, submit_calls = 0;
};

// Opens (O_RDONLY|O_NOFOLLOW|O_NONBLOCK), reads to the end and closes every submitted file.
// on_pieces must not call back into its engine.
class FileEngine {
  public:
    virtual ~FileEngine() = default;
    virtual void submit(const FileRequest& request) = 0;  // may complete others while it waits
    virtual void drain() = 0;                             // until nothing is in flight
    virtual std::string_view engine_name() const = 0;     // "io_uring" or "threads"
    virtual const EngineStats& stats() const = 0;
};

// Reads one file from its beginning to its end as read(2) does, except that holes are not read: the
// kernel would fill pages of its cache with zeros first, at a fraction of the speed, and push out
// what others need there. Asks lseek(2) where they are, and believes it; where that knows none, all
// is data.
class HoleReader {
  public:
    explicit HoleReader(int fd) : fd_(fd) {}  // must stay open; its position is moved
    std::size_t read(MutableBytes out);       // 0 at the end; System error
    std::uint64_t data_bytes() const { return data_bytes_; }  // read, not made up, until now

  private:
    void find_extent();

    int fd_;
    std::uint64_t offset_ = 0;
    std::uint64_t hole_end_ = 0, data_end_ = 0;  // one of them is beyond offset_ within an extent
    std::uint64_t data_bytes_ = 0;
};

// Whether a file has enough holes for HoleReader to be worth it. `blocks` as stat counts them.
constexpr bool is_sparse(std::uint64_t size, std::uint64_t blocks) {
    constexpr std::uint64_t kBlock = 512, kWorthAsking = 1 << 20;
    return size > kWorthAsking && blocks < (size - kWorthAsking) / kBlock;
}

std::unique_ptr<FileEngine> create_engine(const EngineOptions& options, OnPieces on_pieces);

}  // namespace shale::io
