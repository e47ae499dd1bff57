// Frames on their way from tar bytes to blob bytes: compressed on several threads, finished in
// order on one.
//
//             acquire()                 compressors (n)
//   caller ──────────────► fill ──┬──► [to_compress] ──► FrameCompressor ──► done flag
//      ▲                submit()  │                                             │
//      │                          └──► [in_order] ──► finisher: SHA-256 of the tar bytes, then
//      └────────── [free] ◄──────────────────────────  wait for the flag, SHA-256 of the blob, sink
//
// The finisher hashes a frame's tar bytes while a compressor still works on it. Jobs are a fixed
// pool whose buffers are reused, so memory is bounded by the pool and the caller blocks when it
// runs dry. The output depends on the order of submit() alone, never on the number of threads.
//
// The first failure of any thread, the sink's included, stops the work and is rethrown to the
// caller by acquire() or finish(). Compressors never leave their loop before their queue is closed
// and empty, so the finisher cannot wait for a frame that nobody will compress.
#pragma once

#include <shale/layer.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shale::layer {

// Growing bytes that are written before they are read: unlike a string, never zero-filled.
class FrameBuffer {
  public:
    // Room for `count` more bytes; what is put there becomes content by commit().
    MutableBytes room(std::size_t count);
    void commit(std::size_t count);
    void clear() { size_ = 0; }
    Bytes bytes() const { return {data_.get(), size_}; }
    std::size_t size() const { return size_; }

  private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0, capacity_ = 0;
};

// Data frames make up the tar. Side frames hold contents that the tar does not hold contiguously;
// they travel inside skippable frames, where a plain zstd reader does not see them.
enum class FrameKind { Data, Side };

struct FrameJob {
    FrameBuffer raw;
    std::string packed;
    FrameKind kind = FrameKind::Data;
    std::atomic<bool> done = false;
};

class FramePipeline {
  public:
    struct Result {
        std::vector<Frame> frames;  // data frames, then side frames
        std::uint64_t tar_bytes = 0;
        Digest diff_id;
        codec::Sha256 blob_hash;  // continues with what follows the frames
        std::uint64_t blob_bytes = 0;
    };

    FramePipeline(const WriteOptions& options, const codec::Sink& sink);
    ~FramePipeline();  // abandons what is in flight

    FrameJob* acquire();
    void submit(FrameJob* job);
    Result finish();

  private:
    void compress_frames(int level);
    void finish_frames();
    void finish_frame(const FrameJob& job);
    void emit(Bytes bytes);
    void record_failure();
    void stop();
    void rethrow_failure();

    const codec::Sink& sink_;
    std::vector<FrameJob> jobs_;
    BoundedQueue<FrameJob*> free_, to_compress_, in_order_;
    std::atomic<bool> failed_ = false;
    std::mutex failure_mutex_;
    std::exception_ptr failure_;  // guarded by failure_mutex_
    // Touched by the finisher alone until it was joined.
    Result result_;
    std::vector<Frame> side_frames_;
    codec::Sha256 tar_hash_;
    std::string skippable_;
    std::vector<std::jthread> threads_;  // last: joined before the rest is destroyed
};

}  // namespace shale::layer
