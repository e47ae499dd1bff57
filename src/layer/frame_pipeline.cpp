#include "frame_pipeline.hpp"

#include "toc_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

constexpr unsigned kMaxThreads = 64;

unsigned thread_count(const WriteOptions& options) {
    return std::clamp(options.threads, 1u, kMaxThreads);
}

// One job per compressor, one at the finisher, two being filled (data and side), two waiting so
// that nobody idles over a hiccup of the others.
std::size_t pool_size(const WriteOptions& options) {
    return thread_count(options) + 5;
}

}  // namespace

MutableBytes FrameBuffer::room(std::size_t count) {
    if (capacity_ - size_ < count) {
        const std::size_t capacity = std::max(size_ + count, capacity_ + capacity_ / 2);
        auto grown = std::make_unique_for_overwrite<std::byte[]>(capacity);
        std::copy_n(data_.get(), size_, grown.get());
        data_ = std::move(grown);
        capacity_ = capacity;
    }
    return {data_.get() + size_, count};
}

void FrameBuffer::commit(std::size_t count) {
    SHALE_ENSURE(count <= capacity_ - size_);
    size_ += count;
}

FramePipeline::FramePipeline(const WriteOptions& options, const codec::Sink& sink)
    : sink_(sink), jobs_(pool_size(options)), free_(jobs_.size()), to_compress_(jobs_.size()),
      in_order_(jobs_.size()) {
    for (FrameJob& job : jobs_)
        free_.push(&job);
    try {
        threads_.emplace_back([this] { finish_frames(); });
        for (unsigned i = 0; i < thread_count(options); ++i)
            threads_.emplace_back([this, level = options.level] { compress_frames(level); });
    } catch (...) {  // a thread could not be started; those that were must end before we unwind
        stop();
        throw;
    }
}

FramePipeline::~FramePipeline() {
    failed_ = true;
    stop();
}

void FramePipeline::stop() {
    free_.close();
    to_compress_.close();
    in_order_.close();
    threads_.clear();
}

FrameJob* FramePipeline::acquire() {
    const auto job = free_.pop();
    if (failed_) rethrow_failure();
    SHALE_ENSURE(job.has_value());
    (*job)->raw.clear();
    (*job)->packed.clear();
    (*job)->kind = FrameKind::Data;
    (*job)->name = {};
    (*job)->unseen_bytes = 0;
    (*job)->hash_behind.reset();
    (*job)->done = false;
    return *job;
}

void FramePipeline::submit(FrameJob* job) {
    // Neither blocks: both queues hold the whole pool.
    if (job->packed.empty())
        to_compress_.push(job);
    else
        job->done = true;
    in_order_.push(job);
}

FramePipeline::Result FramePipeline::finish() {
    to_compress_.close();
    in_order_.close();
    threads_.clear();
    if (failed_) rethrow_failure();
    result_.blob_hash.update(as_bytes(unhashed_));
    for (Frame& frame : side_frames_) {
        frame.tar_offset += result_.tar_bytes;
        result_.frames.push_back(frame);
    }
    result_.diff_id = tar_hash_.finish();
    result_.stats.frames = result_.frames.size();
    result_.stats.bytes_compressed = bytes_compressed_;
    return std::move(result_);
}

void FramePipeline::record_failure() {
    {
        const std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
    }
    failed_ = true;
    free_.close();  // wakes the caller
}

void FramePipeline::rethrow_failure() {
    const std::lock_guard lock(failure_mutex_);
    SHALE_ENSURE(failure_ != nullptr);
    std::rethrow_exception(failure_);
}

void FramePipeline::compress_frames(int level) {
    std::optional<codec::FrameCompressor> compressor;
    while (const auto job = to_compress_.pop()) {
        try {
            if (!failed_) {
                if (!compressor) compressor.emplace(level);
                compressor->compress((*job)->raw.bytes(), (*job)->packed);
                bytes_compressed_ += (*job)->raw.size();
            }
        } catch (...) {  // thread root
            record_failure();
        }
        (*job)->done = true;
        (*job)->done.notify_one();
    }
}

void FramePipeline::finish_frames() {
    while (const auto job = in_order_.pop()) {
        try {
            if (!failed_) hash_tar(**job);
            (*job)->done.wait(false);
            if (!failed_) finish_frame(**job);
        } catch (...) {  // thread root
            record_failure();
        }
        (*job)->done.wait(false);
        free_.push(*job);
    }
}

void FramePipeline::hash_tar(const FrameJob& job) {
    if (job.hash_behind) tar_hash_ = *job.hash_behind;
    const Bytes tar_bytes = job.kind == FrameKind::Data ? job.raw.bytes() : Bytes{};
    const codec::Sha256Update updates[] = {{&tar_hash_, tar_bytes},
                                           {&result_.blob_hash, as_bytes(unhashed_)}};
    codec::sha256_together(updates);
    unhashed_.clear();
}

void FramePipeline::finish_frame(FrameJob& job) {
    const std::uint64_t raw_bytes = job.raw.size() + job.unseen_bytes;
    Frame frame{result_.blob_bytes, job.packed.size(), result_.tar_bytes, raw_bytes};
    if (job.kind == FrameKind::Data) {
        result_.tar_bytes += raw_bytes;
        result_.frames.push_back(frame);
        remember(job, frame);
        emit(job.packed);
        return;
    }
    skippable_.clear();
    codec::append_skippable_frame(as_bytes(job.packed), skippable_);
    frame.blob_offset += skippable_.size() - job.packed.size();
    // Relative to the end of the tar, which is not known yet.
    frame.tar_offset =
        side_frames_.empty() ? 0 : side_frames_.back().tar_offset + side_frames_.back().tar_bytes;
    side_frames_.push_back(frame);
    emit(skippable_);
}

void FramePipeline::remember(const FrameJob& job, const Frame& frame) {
    if (job.name.keys.empty()) return;
    StoredFrame stored;
    stored.frame = frame;
    stored.check = codec::xxh3_128(as_bytes(job.packed));
    stored.prefix = job.name.prefix;
    stored.tar_state = tar_hash_.save();
    for (const Digest& key : job.name.keys)
        result_.stored_frames.emplace_back(key, stored);
}

// Hashed together with the next frame's tar; `bytes` gets another string's room in exchange.
void FramePipeline::emit(std::string& bytes) {
    result_.blob_bytes += bytes.size();
    sink_(as_bytes(bytes));
    SHALE_ENSURE(unhashed_.empty());
    unhashed_.swap(bytes);
}

}  // namespace shale::layer
