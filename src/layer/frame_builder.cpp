#include "frame_builder.hpp"

#include "footer.hpp"
#include "toc_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

std::size_t checked_frame_bytes(const WriteOptions& options) {
    if (options.frame_bytes == 0 || options.frame_bytes > kMaxWriteFrameBytes)
        fail(ErrorKind::Invalid, fmt::format("frames of {} bytes: 1..{} are possible",
                                             options.frame_bytes, kMaxWriteFrameBytes));
    return options.frame_bytes;
}

}  // namespace

FrameBuilder::FrameBuilder(const WriteOptions& options, const codec::Sink& sink)
    : sink_(sink), level_(options.level), frame_bytes_(checked_frame_bytes(options)),
      pipeline_(options, sink) {}

FrameBuffer& FrameBuilder::current() {
    if (job_ == nullptr) job_ = pipeline_.acquire();
    return job_->raw;
}

void FrameBuilder::append(Bytes bytes) {
    const MutableBytes room = room_in_frame(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    commit_in_frame(bytes.size());
}

void FrameBuilder::commit_in_frame(std::size_t count) {
    current().commit(count);
    tar_offset_ += count;
}

MutableBytes FrameBuilder::room(std::uint64_t wanted) {
    const std::size_t fill = current().size();
    const std::size_t left = fill < frame_bytes_ ? frame_bytes_ - fill : 1;
    return current().room(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, left)));
}

void FrameBuilder::commit(std::size_t count) {
    commit_in_frame(count);
    cut_if_full();
}

void FrameBuilder::cut() {
    if (job_ == nullptr || job_->raw.size() == 0) return;
    pipeline_.submit(std::exchange(job_, nullptr));
}

void FrameBuilder::cut_if_full() {
    if (job_ != nullptr && job_->raw.size() >= frame_bytes_) cut();
}

void FrameBuilder::append_stream(Bytes bytes) {
    while (!bytes.empty()) {
        const MutableBytes into = room(bytes.size());
        std::copy_n(bytes.begin(), into.size(), into.begin());
        commit(into.size());
        bytes = bytes.subspan(into.size());
    }
}

void FrameBuilder::append_side(Bytes bytes) {
    while (!bytes.empty()) {
        if (side_job_ == nullptr) {
            side_job_ = pipeline_.acquire();
            side_job_->kind = FrameKind::Side;
        }
        const std::size_t count = std::min(bytes.size(), frame_bytes_ - side_job_->raw.size());
        const MutableBytes room = side_job_->raw.room(count);
        std::copy_n(bytes.begin(), count, room.begin());
        side_job_->raw.commit(count);
        side_offset_ += count;
        bytes = bytes.subspan(count);
        if (side_job_->raw.size() == frame_bytes_) cut_side();
    }
}

void FrameBuilder::cut_side() {
    if (side_job_ == nullptr) return;
    // Some readers recognise zstd by the magic of a data frame only, so one must come first.
    cut();
    pipeline_.submit(std::exchange(side_job_, nullptr));
}

Written FrameBuilder::finish(std::vector<TocEntry> entries) {
    cut();
    cut_side();
    auto result = pipeline_.finish();
    for (TocEntry& entry : entries)
        if (entry.content_offset & kBesideTar)
            entry.content_offset = (entry.content_offset & ~kBesideTar) + result.tar_bytes;

    Written written;
    written.diff_id = result.diff_id;
    written.toc = {std::move(entries), std::move(result.frames), result.tar_bytes};
    const std::string json = encode_toc(written.toc);
    if (json.size() > kMaxTocBytes)
        fail(ErrorKind::Unsupported,
             fmt::format("a layer of {} entries is too large for a table of contents",
                         written.toc.entries.size()));
    std::string packed, tail;
    codec::FrameCompressor(level_).compress(as_bytes(json), packed);
    const Footer footer{result.blob_bytes + kSkippableHeaderBytes, packed.size(), json.size()};
    codec::append_skippable_frame(as_bytes(packed), tail);
    codec::append_skippable_frame(as_bytes(encode_footer(footer)), tail);
    result.blob_hash.update(as_bytes(tail));
    sink_(as_bytes(tail));
    written.blob = result.blob_hash.finish();
    written.blob_bytes = result.blob_bytes + tail.size();
    return written;
}

}  // namespace shale::layer
