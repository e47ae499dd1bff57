#include "frame_pipeline.hpp"

#include "toc_check.hpp"

#include <shale/gzip_member.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

constexpr unsigned kMaxThreads = 64;
// Jobs besides one per compressor: one at the finisher, two being filled (data and side), two
// waiting so that nobody idles over a hiccup of the others.
constexpr unsigned kMoreJobs = 5;
// Of deflate at any level, and some.
constexpr std::uint64_t kGzipBytes = 1 << 20;
// A large content's frames are twice as large as groups of small ones, which are up to four times
// WriteOptions::frame_bytes.
constexpr std::uint64_t kLargestFrame = 8;

// One thread's decompressor of frames that a store had.
class Unpacker {
  public:
    void unpack(FrameJob& job) {
        try {
            frames_.decompress(as_bytes(job.packed), job.raw.room(job.packed_raw_bytes));
        } catch (const Error& error) {
            throw DamagedFrame(error.kind(), fmt::format("a stored frame of {} bytes: {}",
                                                         job.packed.size(), error.what()));
        }
        job.raw.commit(job.packed_raw_bytes);
    }

  private:
    codec::FrameDecompressor frames_;
};

// One thread's compressor, whichever codec.
class Packer {
  public:
    Packer(FrameCodec codec, int level) {
        if (codec == FrameCodec::Gzip)
            gzip_.emplace(level);
        else
            zstd_.emplace(level);
    }

    void pack(FrameJob& job) {
        const Bytes raw = job.raw.bytes();
        std::size_t begin = 0;
        for (const std::size_t end : job.cuts) {
            pack_one(raw.subspan(begin, end - begin), job.packed);
            job.packed_cuts.push_back(job.packed.size());
            begin = end;
        }
        if (job.cuts.empty()) pack_one(raw, job.packed);
    }

  private:
    void pack_one(Bytes raw, std::string& packed) {
        if (gzip_)
            gzip_->compress(raw, packed);
        else
            zstd_->compress(raw, packed);
    }

    std::optional<codec::FrameCompressor> zstd_;
    std::optional<codec::GzipMemberCompressor> gzip_;
};

}  // namespace

unsigned compressor_count(const WriteOptions& options, FrameCodec codec) {
    const auto wanted =
        options.threads == 0 ? std::thread::hardware_concurrency() : options.threads;
    const std::uint64_t frame = kLargestFrame * options.frame_bytes;
    const std::uint64_t job = 2 * frame;  // plain and compressed
    const std::uint64_t each =
        job + (codec == FrameCodec::Gzip ? kGzipBytes
                                         : codec::frame_compressor_bytes(options.level, frame));
    const auto left = options.memory_bytes - std::min(options.memory_bytes, kMoreJobs * job);
    return static_cast<unsigned>(
        std::clamp<std::uint64_t>(std::min<std::uint64_t>(wanted, left / each), 1, kMaxThreads));
}

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

FramePipeline::FramePipeline(const WriteOptions& options, const codec::Sink& sink, FrameCodec codec,
                             OnOtherContent on_other, ContentsBy contents_by)
    : sink_(sink), on_other_(std::move(on_other)), contents_by_(contents_by),
      jobs_(compressor_count(options, codec) + kMoreJobs), free_(jobs_.size()),
      to_compress_(jobs_.size()), in_order_(jobs_.size()) {
    for (FrameJob& job : jobs_)
        free_.push(&job);
    try {
        threads_.emplace_back([this] { finish_frames(); });
        for (std::size_t i = kMoreJobs; i < jobs_.size(); ++i)
            threads_.emplace_back(
                [this, codec, level = options.level] { compress_frames(codec, level); });
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
    (*job)->contents.clear();
    (*job)->content_before.reset();
    (*job)->cuts.clear();
    (*job)->packed.clear();
    (*job)->packed_cuts.clear();
    (*job)->packed_digest = {};
    (*job)->packed_raw_bytes = 0;
    (*job)->kind = FrameKind::Data;
    (*job)->name = {};
    (*job)->unseen_bytes = 0;
    (*job)->hash_behind.reset();
    (*job)->done = false;
    return *job;
}

void FramePipeline::submit(FrameJob* job) {
    // Neither blocks: both queues hold the whole pool.
    if (job->packed.empty() || job->packed_raw_bytes != 0)
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
    if (undigested_) frame_hash_.update(as_bytes(unhashed_));
    end_frame_digest();
    digest_stored_frames();
    for (Frame& frame : side_frames_) {
        frame.tar_offset += result_.tar_bytes;
        result_.frames.push_back(frame);
    }
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

void FramePipeline::compress_frames(FrameCodec codec, int level) {
    std::optional<Packer> packer;
    std::optional<Unpacker> unpacker;
    WholeContents whole;
    while (const auto job = to_compress_.pop()) {
        try {
            if (!failed_) {
                if ((*job)->packed_raw_bytes != 0) {
                    if (!unpacker) unpacker.emplace();
                    unpacker->unpack(**job);
                } else {
                    if (contents_by_ == ContentsBy::Compressors) {
                        collect(**job, whole);
                        codec::sha256_together({}, whole.bytes, whole.digests);
                        check(**job, whole);
                    }
                    if (!packer) packer.emplace(codec, level);
                    packer->pack(**job);
                    if ((*job)->kind != FrameKind::Table) bytes_compressed_ += (*job)->raw.size();
                }
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
            if ((*job)->packed_raw_bytes != 0) (*job)->done.wait(false);
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
    if (job.hash_behind) result_.tar_hash = *job.hash_behind;
    const Bytes tar_bytes = job.kind == FrameKind::Data ? job.raw.bytes() : Bytes{};
    if (job.content_before) content_hash_ = *job.content_before;
    Bytes part;
    for (const auto& content : job.contents)
        if (!content.is_whole) part = tar_bytes.subspan(content.at, content.bytes);
    if (contents_by_ == ContentsBy::Finisher) collect(job, whole_);
    const codec::Sha256Update updates[] = {
        {&result_.tar_hash, tar_bytes},
        {&content_hash_, part},
        {&result_.blob_hash, as_bytes(unhashed_)},
        {&frame_hash_, undigested_ ? as_bytes(unhashed_) : Bytes{}}};
    codec::sha256_together(updates, whole_.bytes, whole_.digests);
    unhashed_.clear();
    end_frame_digest();
    if (contents_by_ == ContentsBy::Finisher) check(job, whole_);
    check_part(job);
}

void FramePipeline::collect(const FrameJob& job, WholeContents& whole) {
    whole.bytes.clear();
    for (const auto& content : job.contents)
        if (content.is_whole)
            whole.bytes.push_back(job.raw.bytes().subspan(content.at, content.bytes));
    whole.digests.resize(whole.bytes.size());
}

void FramePipeline::check(const FrameJob& job, const WholeContents& whole) const {
    auto found = whole.digests.begin();
    for (const auto& content : job.contents)
        if (content.is_whole && *found++ != content.expected) on_other_(content, *std::prev(found));
}

void FramePipeline::check_part(const FrameJob& job) {
    for (const auto& content : job.contents) {
        if (content.is_whole || !content.is_last) continue;
        const Digest found = content_hash_.finish();
        if (found != content.expected) on_other_(content, found);
    }
}

// The bytes just hashed were those of a data frame, if any.
void FramePipeline::end_frame_digest() {
    if (!undigested_) return;
    result_.frames[*undigested_].blob_digest = frame_hash_.finish();
    undigested_.reset();
}

void FramePipeline::finish_frame(FrameJob& job) {
    if (job.kind == FrameKind::Side) return finish_side_frame(job);
    if (job.kind == FrameKind::Table) return finish_table_frame(job);
    std::uint64_t blob_offset = result_.blob_bytes;
    const auto add = [&](std::uint64_t packed_bytes, std::uint64_t raw_bytes) {
        result_.frames.push_back({blob_offset, packed_bytes, result_.tar_bytes, raw_bytes});
        blob_offset += packed_bytes;
        result_.tar_bytes += raw_bytes;
    };
    if (job.cuts.empty()) {
        if (job.packed_digest.is_zero()) undigested_ = result_.frames.size();
        add(job.packed.size(), job.raw.size() + job.unseen_bytes);
        result_.frames.back().blob_digest = job.packed_digest;
        remember(job, result_.frames.back());
    }
    for (std::size_t i = 0; i < job.cuts.size(); ++i)
        add(job.packed_cuts[i] - (i > 0 ? job.packed_cuts[i - 1] : 0),
            job.cuts[i] - (i > 0 ? job.cuts[i - 1] : 0));
    emit(job.packed);
}

void FramePipeline::finish_side_frame(FrameJob& job) {
    skippable_.clear();
    codec::append_skippable_frame(as_bytes(job.packed), skippable_);
    Frame frame{result_.blob_bytes + skippable_.size() - job.packed.size(), job.packed.size(), 0,
                job.raw.size()};
    // Relative to the end of the tar, which is not known yet.
    frame.tar_offset =
        side_frames_.empty() ? 0 : side_frames_.back().tar_offset + side_frames_.back().tar_bytes;
    side_frames_.push_back(frame);
    emit(skippable_);
}

void FramePipeline::finish_table_frame(const FrameJob& job) {
    StoredFrame stored;
    stored.frame = {result_.table.size(), job.packed.size(), 0, job.raw.size() + job.unseen_bytes};
    stored.check = codec::xxh3_128(as_bytes(job.packed));
    for (const Digest& key : job.name.keys)
        result_.table_frames.emplace_back(key, stored);
    result_.table.append(job.packed);
}

void FramePipeline::remember(const FrameJob& job, const Frame& frame) {
    if (job.name.keys.empty()) return;
    StoredFrame stored;
    stored.frame = frame;
    stored.check = codec::xxh3_128(as_bytes(job.packed));
    stored.prefix = job.name.prefix;
    stored.tar_state = result_.tar_hash.save();
    for (const Digest& key : job.name.keys)
        result_.stored_frames.emplace_back(key, stored);
}

// A frame is remembered before its digest is known.
void FramePipeline::digest_stored_frames() {
    std::size_t at = 0;
    for (auto& [key, stored] : result_.stored_frames) {
        while (result_.frames[at].blob_offset != stored.frame.blob_offset)
            ++at;
        stored.frame.blob_digest = result_.frames[at].blob_digest;
    }
}

// Hashed together with the next frame's tar; `bytes` gets another string's room in exchange.
void FramePipeline::emit(std::string& bytes) {
    result_.blob_bytes += bytes.size();
    sink_(as_bytes(bytes));
    SHALE_ENSURE(unhashed_.empty());
    unhashed_.swap(bytes);
}

}  // namespace shale::layer
