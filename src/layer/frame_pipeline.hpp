// Frames on their way from tar bytes to blob bytes: compressed on several threads, finished in
// order on one.
//
//             acquire()                 compressors (n)
//   caller ──────────────► fill ──┬──► [to_compress] ──► FrameCompressor ──► done flag
//      ▲                submit()  │                                             │
//      │                          └──► [in_order] ──► finisher: SHA-256 of the tar bytes, then
//      └────────── [free] ◄──────────────────────────  wait for the flag, SHA-256 of the blob, sink
//
// The finisher hashes a frame's tar bytes while a compressor still works on it, and with them the
// contents in it and the compressed bytes of the frame before: several streams at once cost little
// more than one. Where they do not, whole contents are hashed by the compressors, of which there
// are more. A content that is not what the tree says is a failure of whoever hashed it. A job whose
// compressed bytes the caller has brought along skips the compressors, or is decompressed there if
// its tar bytes must be hashed. Jobs are a fixed pool whose buffers are reused, so memory is
// bounded by the pool and the caller blocks when it runs dry. The output depends on the order of
// submit() alone, never on the number of threads.
//
// The first failure of any thread, the sink's included, stops the work and is rethrown to the
// caller by acquire() or finish(). Compressors never leave their loop before their queue is closed
// and empty, so the finisher cannot wait for a frame that nobody will compress.
#pragma once

#include <shale/frame_store.hpp>

#include <algorithm>
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
    void truncate(std::size_t size) { size_ = std::min(size, size_); }
    void clear() { size_ = 0; }
    Bytes bytes() const { return {data_.get(), size_}; }
    std::size_t size() const { return size_; }

  private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0, capacity_ = 0;
};

// Data frames make up the tar. Side frames hold contents that the tar does not hold contiguously;
// they travel inside skippable frames, where a plain zstd reader does not see them. Table frames
// are a piece of the table of contents; they wait in memory for the end of the blob.
enum class FrameKind { Data, Side, Table };

// Under which keys a FrameStore may find a frame again, and what came before it.
struct FrameName {
    std::vector<Digest> keys;
    Digest prefix;
};

// What makes a frame of a job's bytes: our zstd frames, or members of a gzip file.
enum class FrameCodec { Zstd, Gzip };

// What a job's bytes have of one file: all of it, or what lies in this frame.
struct JobContent {
    std::size_t at = 0, bytes = 0;
    snapshot::NodeId node = snapshot::kNoNode;
    Digest expected;  // of the whole file
    bool is_whole = true;
    bool is_last = true;
};

// Who hashes whole contents.
enum class ContentsBy { Finisher, Compressors };

// Told of a content with another digest than was expected; throws.
using OnOtherContent = std::function<void(const JobContent&, const Digest& found)>;

struct FrameJob {
    FrameBuffer raw;
    // In `raw`. At most one is not whole; what of it came before is hashed in `content_before` if
    // no earlier job had any of it.
    std::vector<JobContent> contents;
    std::optional<codec::Sha256Stream> content_before;
    // Where frames end that are compressed apart but travel in this job together; empty: one frame.
    std::vector<std::size_t> cuts;
    std::string packed;                    // not empty at submit(): taken as it is
    Digest packed_digest;                  // of it, if it is known
    std::uint64_t packed_raw_bytes = 0;    // not 0: `packed` is still to be decompressed into `raw`
    std::vector<std::size_t> packed_cuts;  // as `cuts`, in `packed`; the compressor's
    FrameKind kind = FrameKind::Data;
    FrameName name;
    // Set for a frame whose uncompressed bytes are not at hand: how many they are, and, of tar, the
    // hash behind them.
    std::uint64_t unseen_bytes = 0;
    std::optional<codec::Sha256Stream> hash_behind;
    std::atomic<bool> done = false;
};

// How many compress at a time.
unsigned compressor_count(const WriteOptions& options, FrameCodec codec);

class FramePipeline {
  public:
    struct Result {
        std::vector<Frame> frames;  // data frames, then side frames
        std::uint64_t tar_bytes = 0;
        codec::Sha256Stream tar_hash;
        codec::Sha256Stream blob_hash;  // continues with what follows the frames
        std::uint64_t blob_bytes = 0;
        std::string table;
        // Pieces of it that have a name; their blob offset counts from its beginning.
        std::vector<std::pair<Digest, StoredFrame>> table_frames;
        std::vector<std::pair<Digest, StoredFrame>> stored_frames;  // blob not yet known
        WriteStats stats;
    };

    // `on_other` is called on another thread; without one no job may have contents.
    FramePipeline(const WriteOptions& options, const codec::Sink& sink,
                  FrameCodec codec = FrameCodec::Zstd, OnOtherContent on_other = {},
                  ContentsBy contents_by = codec::sha256_is_faster_together()
                                               ? ContentsBy::Finisher
                                               : ContentsBy::Compressors);
    ~FramePipeline();  // abandons what is in flight

    FrameJob* acquire();
    void submit(FrameJob* job);
    Result finish();

  private:
    void compress_frames(FrameCodec codec, int level);
    void finish_frames();
    void hash_tar(const FrameJob& job);
    struct WholeContents {
        std::vector<Bytes> bytes;
        std::vector<Digest> digests;
    };
    static void collect(const FrameJob& job, WholeContents& whole);
    void check(const FrameJob& job, const WholeContents& whole) const;
    void check_part(const FrameJob& job);
    void end_frame_digest();
    void digest_stored_frames();
    void finish_frame(FrameJob& job);
    void finish_side_frame(FrameJob& job);
    void finish_table_frame(const FrameJob& job);
    void remember(const FrameJob& job, const Frame& frame);
    void emit(std::string& bytes);
    void record_failure();
    void stop();
    void rethrow_failure();

    const codec::Sink& sink_;
    const OnOtherContent on_other_;
    const ContentsBy contents_by_;
    std::vector<FrameJob> jobs_;
    BoundedQueue<FrameJob*> free_, to_compress_, in_order_;
    std::atomic<std::uint64_t> bytes_compressed_ = 0;
    std::atomic<bool> failed_ = false;
    std::mutex failure_mutex_;
    std::exception_ptr failure_;  // guarded by failure_mutex_
    // Touched by the finisher alone until it was joined.
    Result result_;
    std::vector<Frame> side_frames_;
    codec::Sha256Stream frame_hash_;
    codec::Sha256Stream content_hash_;  // of the file that goes on in the next frame
    WholeContents whole_;
    // The data frame that unhashed_ is, if it is one and its digest is not known.
    std::optional<std::size_t> undigested_;
    std::string skippable_;
    std::string unhashed_;               // the last bytes that went to the sink
    std::vector<std::jthread> threads_;  // last: joined before the rest is destroyed
};

}  // namespace shale::layer
