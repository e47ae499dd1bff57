#include "frame_builder.hpp"

#include "footer.hpp"
#include "frame_key.hpp"
#include "toc_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>

namespace shale::layer {

namespace {

std::size_t checked_frame_bytes(const WriteOptions& options) {
    if (options.frame_bytes == 0 || options.frame_bytes > kMaxWriteFrameBytes)
        fail(ErrorKind::Invalid, fmt::format("frames of {} bytes: 1..{} are possible",
                                             options.frame_bytes, kMaxWriteFrameBytes));
    return options.frame_bytes;
}

// The most text of the table of contents that is compressed at once.
constexpr std::size_t kTablePieceBytes = 4 << 20;

// The compressed bytes, as they were when they were stored.
std::string read_packed(FrameStore& store, const StoredFrame& stored) {
    if (stored.frame.blob_bytes == 0 || stored.frame.blob_bytes > kMaxFrameBlobBytes ||
        stored.frame.tar_bytes == 0 || stored.frame.tar_bytes > kMaxFrameTarBytes)
        fail(ErrorKind::Corrupt, "a stored frame of impossible size");
    std::string packed(stored.frame.blob_bytes, '\0');
    store.read(stored, std::as_writable_bytes(std::span(packed)));
    if (codec::xxh3_128(as_bytes(packed)) != stored.check)
        fail(ErrorKind::Corrupt, "a stored frame is damaged");
    return packed;
}

}  // namespace

FrameBuilder::FrameBuilder(const WriteOptions& options, const codec::Sink& sink, FrameStore* store,
                           OnOtherContent on_other)
    : sink_(sink), store_(store), level_(options.level), keep_entries_(options.keep_entries),
      frame_bytes_(checked_frame_bytes(options)),
      pipeline_(options, sink, FrameCodec::Zstd, std::move(on_other)) {}

FrameJob& FrameBuilder::current_job() {
    if (job_ == nullptr) job_ = pipeline_.acquire();
    return *job_;
}

FrameBuffer& FrameBuilder::current() {
    return current_job().raw;
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

void FrameBuilder::note_content(const JobContent& content,
                                const std::optional<codec::Sha256Stream>& before) {
    FrameJob& job = current_job();
    job.contents.push_back(content);
    if (before) job.content_before = before;
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

void FrameBuilder::submit(FrameJob* job, std::vector<Digest> keys) {
    if (!keys.empty()) {
        prefix_ = FrameKeys::extend(prefix_, keys.front());
        job->name = {std::move(keys), prefix_};
    }
    pipeline_.submit(job);
}

void FrameBuilder::cut(std::vector<Digest> keys) {
    if (job_ == nullptr || job_->raw.size() == 0) return;
    submit(std::exchange(job_, nullptr), std::move(keys));
}

Bytes FrameBuilder::cut_before(std::size_t rest, std::vector<Digest> keys) {
    FrameJob* const full = std::exchange(job_, nullptr);
    const Bytes tail = full->raw.bytes().last(rest);
    std::copy(tail.begin(), tail.end(), current().room(rest).begin());
    current().commit(rest);
    full->raw.truncate(full->raw.size() - rest);
    submit(full, std::move(keys));
    return current().bytes();
}

Bytes FrameBuilder::drop_before(std::size_t rest) {
    FrameBuffer& raw = current();
    const std::string tail(as_text(raw.bytes().last(rest)));
    tar_offset_ -= raw.size() - rest;
    raw.clear();
    std::copy(as_bytes(tail).begin(), as_bytes(tail).end(), raw.room(rest).begin());
    raw.commit(rest);
    return raw.bytes();
}

bool FrameBuilder::append_stored(FrameStore& store, const StoredFrame& stored, const Digest& key) {
    FrameJob& job = current_job();
    SHALE_ENSURE(job.raw.size() == 0);
    const std::uint64_t tar_bytes = stored.frame.tar_bytes;
    try {
        job.packed = read_packed(store, stored);
        // A layer that began like this one has hashed its beginning already.
        if (stored.prefix == FrameKeys::extend(prefix_, key))
            job.hash_behind = codec::Sha256Stream::restore(stored.tar_state);
        if (job.hash_behind) {
            job.unseen_bytes = tar_bytes;
            bytes_skipped_ += tar_bytes;
        } else {
            job.packed_raw_bytes = tar_bytes;
        }
    } catch (const Error&) {  // the store has lost it; the caller makes it again
        job.packed.clear();
        return false;
    }
    job.packed_digest = stored.frame.blob_digest;
    tar_offset_ += tar_bytes;
    ++frames_reused_;
    submit(std::exchange(job_, nullptr), {key});
    return true;
}

bool FrameBuilder::pack_from(FrameStore& store, const StoredFrame& stored, std::size_t rest) {
    FrameJob& job = current_job();
    const std::size_t bytes = job.raw.size() - rest;
    if (stored.frame.tar_bytes != bytes) return false;
    try {
        std::string packed = read_packed(store, stored);
        stored_tar_.resize(bytes);
        decompressor_.decompress(as_bytes(packed), std::as_writable_bytes(std::span(stored_tar_)));
        if (stored_tar_ != as_text(job.raw.bytes().first(bytes))) return false;
        job.packed = std::move(packed);
        job.packed_digest = stored.frame.blob_digest;
    } catch (const Error&) {  // as in append_stored()
        return false;
    }
    ++frames_reused_;
    return true;
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

void FrameBuilder::describe(TocEntry entry) {
    if (entry.content_offset & kBesideTar)
        entry.content_offset = (entry.content_offset & ~kBesideTar) + tar_offset_;
    encoder_.add(entry);
    if (keep_entries_) entries_.push_back(std::move(entry));
    if (encoder_.text_bytes() < kTablePieceBytes) return;
    submit_table();
    is_piece_cut_ = true;
}

bool FrameBuilder::end_piece(const Digest& text, const Digest& digests) {
    const bool is_whole = !std::exchange(is_piece_cut_, false);
    submit_table(is_whole ? std::optional(text) : std::nullopt);
    pieces_.push_back({digests, encoder_.contents().size()});
    return is_whole;
}

bool FrameBuilder::append_piece(const StoredSection& section, std::uint64_t members,
                                std::span<const ContentTable::Content> contents) {
    if (!submit_stored_table(section.text, section.text_bytes)) return false;
    encoder_.skip(members, section.text_bytes, contents);
    pieces_.push_back({section.digests, encoder_.contents().size()});
    return true;
}

void FrameBuilder::submit_table(const std::optional<Digest>& key) {
    const std::string text = encoder_.take();
    if (text.empty() || (key && submit_stored_table(*key, text.size()))) return;
    FrameJob* const job = pipeline_.acquire();
    job->kind = FrameKind::Table;
    if (key) job->name.keys = {*key};
    const MutableBytes room = job->raw.room(text.size());
    std::copy(as_bytes(text).begin(), as_bytes(text).end(), room.begin());
    job->raw.commit(text.size());
    pipeline_.submit(job);
}

bool FrameBuilder::submit_stored_table(const Digest& key, std::uint64_t text_bytes) {
    if (store_ == nullptr) return false;
    const auto stored = store_->find(key);
    if (!stored || stored->frame.tar_bytes != text_bytes) return false;
    std::string packed;
    try {
        packed = read_packed(*store_, *stored);
        // Nothing downstream looks into it, and a table that cannot be read is a lost layer.
        stored_text_.resize(text_bytes);
        table_decompressor_.decompress(as_bytes(packed),
                                       std::as_writable_bytes(std::span(stored_text_)));
    } catch (const Error&) {  // as in append_stored()
        return false;
    }
    FrameJob* const job = pipeline_.acquire();
    job->kind = FrameKind::Table;
    job->name.keys = {key};
    job->unseen_bytes = text_bytes;
    job->packed = std::move(packed);
    pipeline_.submit(job);
    return true;
}

void FrameBuilder::write_digests() {
    encoder_.begin_digests();
    if (!pieces_.empty()) submit_table();
    std::size_t from = 0;
    for (const Piece& piece : pieces_) {
        const std::size_t count = piece.contents_end - std::exchange(from, piece.contents_end);
        if (count == 0) continue;
        if (submit_stored_table(piece.digests, count * 2 * sizeof(Digest::bytes))) {
            encoder_.skip_digests(piece.contents_end);
            continue;
        }
        encoder_.add_digests(piece.contents_end, SIZE_MAX);
        submit_table(piece.digests);
    }
    while (encoder_.add_digests(SIZE_MAX, kTablePieceBytes))
        submit_table();
}

Rewritten FrameBuilder::finish() {
    cut();
    cut_side();
    write_digests();
    auto result = pipeline_.finish();

    Rewritten rewritten;
    Written& written = rewritten.written;
    static_cast<FrameTable&>(written.toc) = {std::move(result.frames), result.tar_bytes};
    written.toc.entries = std::move(entries_);
    written.diff_id = result.tar_hash.finish();
    auto contents = std::async(std::launch::async, [&] {  // a million take a while to sort
        return std::make_shared<const ContentTable>(written.toc, encoder_.contents());
    });
    write_tail(result, written);
    rewritten.contents = contents.get();
    rewritten.frames = std::move(result.stored_frames);
    for (auto& [key, frame] : result.table_frames) {
        frame.frame.blob_offset += result.blob_bytes + kSkippableHeaderBytes;
        rewritten.frames.emplace_back(key, frame);
    }
    for (auto& [key, frame] : rewritten.frames)
        frame.blob = written.blob;
    rewritten.stats = result.stats;
    rewritten.stats.frames_reused = frames_reused_;
    rewritten.stats.bytes_skipped = bytes_skipped_;
    return rewritten;
}

// What is left of the table, and the footer.
void FrameBuilder::write_tail(FramePipeline::Result& result, Written& written) {
    encoder_.end(written.toc);
    const std::uint64_t toc_bytes = encoder_.total_bytes();
    if (toc_bytes > kMaxTocBytes)
        fail(ErrorKind::Unsupported,
             fmt::format("a layer of {} entries is too large for a table of contents",
                         encoder_.entries()));
    std::string header, last_piece, footer;
    codec::FrameCompressor(level_).compress(as_bytes(encoder_.take()), last_piece);
    const std::size_t packed_bytes = result.table.size() + last_piece.size();
    codec::append_skippable_header(packed_bytes, header);
    codec::append_skippable_frame(as_bytes(encode_footer({result.blob_bytes + kSkippableHeaderBytes,
                                                          packed_bytes, toc_bytes})),
                                  footer);
    written.blob_bytes = result.blob_bytes;
    // One after another: together they would be a second copy of the table.
    for (const std::string* part : {&header, &result.table, &last_piece, &footer}) {
        result.blob_hash.update(as_bytes(*part));
        sink_(as_bytes(*part));
        written.blob_bytes += part->size();
    }
    written.blob = result.blob_hash.finish();
}

}  // namespace shale::layer
