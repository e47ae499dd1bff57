#include "seekable_writer.hpp"

#include "json_names.hpp"
#include "member_plan.hpp"
#include "toc_fields.hpp"

#include <shale/gzip_member.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shale::layer {

namespace {

// Pieces are small; this many bytes of them are one job for a compressor.
constexpr std::size_t kJobBytes = 512 << 10;
// Headers without contents between them: no reader begins there, so the cut is for memory alone.
constexpr std::size_t kMostHeaderBytes = 1 << 20;
constexpr std::size_t kReadBytes = 256 << 10;
// What stargz-snapshotter's own writer takes.
constexpr std::uint64_t kStargzChunk = 4 << 20;
constexpr std::array<std::byte, tar::kTrailerBytes> kZeros{};

[[noreturn]] void reject(const tar::Member& member, const std::string& how) {
    fail(ErrorKind::Corrupt,
         fmt::format("'{}' is not the content that is named: {}", member.path, how));
}

void check_names(Form form, const tar::Member& member) {
    const bool xattrs = std::all_of(member.xattrs.begin(), member.xattrs.end(),
                                    [](const Xattr& xattr) { return is_json_name(xattr.name); });
    if (is_json_name(member.path) && is_json_name(member.link_target) && xattrs) return;
    fail(ErrorKind::Unsupported,
         fmt::format("'{}' cannot be stored in a layer of the form {}: a name that is not UTF-8",
                     member.path, form_name(form)));
}

WriteOptions pipeline_options(const FormOptions& form) {
    WriteOptions options;
    options.level = checked_level(form.form, form.level);
    options.threads = form.threads;
    options.memory_bytes = form.memory_bytes;
    return options;
}

}  // namespace

SeekableWriter::SeekableWriter(const FormOptions& options, const codec::Sink& out)
    : form_(options.form),
      pipeline_(pipeline_options(options), out,
                options.form == Form::EStargz ? FrameCodec::Gzip : FrameCodec::Zstd) {
    if (form_ == Form::ZstdChunked) split_.emplace(checked_level(form_, options.level));
}

void SeekableWriter::put(Bytes bytes) {
    if (job_ == nullptr) job_ = pipeline_.acquire();
    const MutableBytes room = job_->raw.room(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    job_->raw.commit(bytes.size());
    piece_bytes_ += bytes.size();
}

void SeekableWriter::end_piece() {
    if (piece_bytes_ == 0) return;
    job_->cuts.push_back(job_->raw.size());
    piece_bytes_ = 0;
    ++pieces_;
    if (job_->raw.size() >= kJobBytes) submit();
}

void SeekableWriter::submit() {
    if (job_ != nullptr) pipeline_.submit(std::exchange(job_, nullptr));
}

void SeekableWriter::put_header(const std::string& header) {
    std::string segment(padding_, '\0');
    padding_ = 0;
    segment.append(header);
    put(as_bytes(segment));
    if (split_) split_->add_segment(segment);
}

void SeekableWriter::add(const tar::Member& member, const Digest& content,
                         const codec::Source& source) {
    check_names(form_, member);
    SeekableEntry entry{member, content, {}};
    if (piece_bytes_ > kMostHeaderBytes) end_piece();
    put_header(tar::encode_header(member));
    if (has_content(member))
        add_content(entry, source);
    else if (split_)
        split_->add_file(tar_name(member), 0, 0);
    entries_.push_back(std::move(entry));
}

// Which bytes of `fresh`, which follow those of the last call, end a chunk.
void SeekableWriter::cut_chunks(Bytes fresh, bool is_last) {
    if (split_) {
        rolling_.take(fresh, ended_);
        if (is_last) rolling_.finish(ended_);
        return;
    }
    for (uncut_ += fresh.size(); uncut_ >= kStargzChunk; uncut_ -= kStargzChunk)
        ended_.push_back({kStargzChunk, false});
    if (is_last && uncut_ > 0) ended_.push_back({std::exchange(uncut_, 0), false});
}

void SeekableWriter::add_content(SeekableEntry& entry, const codec::Source& source) {
    const tar::Member& member = entry.member;
    std::uint64_t left = member.size, crc = 0;
    end_piece();  // of headers: a reader begins at the content
    while (left > 0) {
        const std::size_t held = pending_.size();
        pending_.resize(held + static_cast<std::size_t>(std::min<std::uint64_t>(left, kReadBytes)));
        const std::size_t got = source(MutableBytes(pending_).subspan(held));
        if (got == 0) reject(member, fmt::format("{} bytes short of {}", left, member.size));
        SHALE_ENSURE(got <= pending_.size() - held);
        pending_.resize(held + got);
        left -= got;
        const Bytes fresh = Bytes(pending_).subspan(held);
        if (split_) crc = codec::crc64_iso(crc, fresh);
        cut_chunks(fresh, left == 0);
        std::size_t at = 0;
        for (const auto& chunk : ended_) {
            put_chunk(entry, Bytes(pending_).subspan(at, chunk.bytes), chunk.zeros);
            at += chunk.bytes;
        }
        ended_.clear();
        pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::byte extra;
    if (source({&extra, 1}) != 0) reject(member, fmt::format("longer than {} bytes", member.size));
    const bool whole = entry.chunks.size() == 1;
    const Digest found = whole ? entry.chunks.front().digest : content_hash_.finish();
    if (found != entry.content)
        reject(member, fmt::format("{} where {} was expected", found.str(), entry.content.str()));
    padding_ = tar::padding(member.size);
    if (split_) split_->add_file(tar_name(member), member.size, crc);
}

// In a piece of its own; podman's dialect apart, it also takes the headers behind it.
void SeekableWriter::put_chunk(SeekableEntry& entry, Bytes bytes, bool zeros) {
    end_piece();
    const std::uint64_t offset =
        entry.chunks.empty() ? 0 : entry.chunks.back().offset + entry.chunks.back().bytes;
    ContentChunk chunk{offset, bytes.size(), pieces_, {}, zeros};
    // Of a content that is one chunk, the two digests are one.
    const codec::Sha256Update whole[] = {{&content_hash_, bytes}};
    const bool is_whole = bytes.size() == entry.member.size;
    codec::sha256_together(is_whole ? std::span<const codec::Sha256Update>() : whole, {&bytes, 1},
                           {&chunk.digest, 1});
    entry.chunks.push_back(chunk);
    put(bytes);
    if (split_) end_piece();
}

SeekableBody SeekableWriter::finish() {
    std::string trailer(padding_, '\0');
    // An estargz goes on: its TOC is the last member.
    if (form_ != Form::EStargz) trailer.append(as_text(kZeros));
    put(as_bytes(trailer));
    if (split_) split_->add_segment(trailer);
    end_piece();
    submit();
    SeekableBody body;
    body.result = pipeline_.finish();
    body.entries = std::move(entries_);
    if (split_) body.tar_split = split_->finish();
    if (split_) body.tar_split_bytes = split_->bytes();
    return body;
}

namespace {

// Members that an earlier conversion added, and that this one adds itself.
bool is_of_estargz(const tar::Member& member) {
    return member.path == kEStargzToc || member.path == kNoPrefetchLandmark;
}

void add_landmark(SeekableWriter& writer) {
    static constexpr std::byte kContent[] = {std::byte{0x0f}};
    tar::Member member;
    member.path = kNoPrefetchLandmark;
    member.mode = 0644;
    member.size = std::size(kContent);
    std::size_t at = 0;
    writer.add(member, codec::sha256(Bytes(kContent)), [&](MutableBytes out) -> std::size_t {
        const std::size_t count = std::min(out.size(), std::size(kContent) - at);
        std::copy_n(kContent + at, count, out.begin());
        at += count;
        return count;
    });
}

// `member(i)`, `content(i)` and `open(i)` describe the members.
template <typename Members>
Formed write_members(const Members& members, const FormOptions& options, const codec::Sink& out) {
    SHALE_ENSURE(is_seekable(options.form));
    const int level = checked_level(options.form, options.level);
    const bool estargz = options.form == Form::EStargz;
    SeekableWriter writer(options, out);
    bool has_landmark = false;
    for (std::size_t i = 0; i < members.size(); ++i)
        has_landmark = has_landmark || members.member(i).path == kPrefetchLandmark;
    if (estargz && !has_landmark) add_landmark(writer);
    for (std::size_t i = 0; i < members.size(); ++i) {
        const tar::Member& member = members.member(i);
        if (estargz && is_of_estargz(member)) continue;
        writer.add(member, members.content(i),
                   has_content(member) ? members.open(i) : codec::Source());
    }
    SeekableBody body = writer.finish();
    if (estargz) return finish_estargz(std::move(body), level, out);
    return options.form == Form::ZstdStargz ? finish_zstd_stargz(std::move(body), level, out)
                                            : finish_zstd_chunked(std::move(body), level, out);
}

struct TocMembers {
    const std::vector<TocEntry>& entries;
    const OpenMember& opener;
    std::size_t size() const { return entries.size(); }
    const tar::Member& member(std::size_t i) const { return entries[i].member; }
    const Digest& content(std::size_t i) const { return entries[i].content; }
    codec::Source open(std::size_t i) const { return opener(entries[i]); }
};

struct ChangedMembers {
    const snapshot::Tree& after;
    const OpenContent& opener;
    std::vector<tar::Member> planned;
    std::vector<snapshot::NodeId> nodes;  // kNoNode for a whiteout
    std::size_t size() const { return planned.size(); }
    const tar::Member& member(std::size_t i) const { return planned[i]; }
    Digest content(std::size_t i) const {
        return has_content(planned[i]) && nodes[i] != snapshot::kNoNode
                   ? after.entry(nodes[i]).content
                   : Digest();
    }
    codec::Source open(std::size_t i) const {
        return opener(after.path(nodes[i]), after.entry(nodes[i]));
    }
};

}  // namespace

Formed write_seekable(const std::vector<TocEntry>& members, const OpenMember& open,
                      const FormOptions& options, const codec::Sink& out) {
    return write_members(TocMembers{members, open}, options, out);
}

Formed write_seekable(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                      const OpenContent& open, const FormOptions& options, const codec::Sink& out) {
    ChangedMembers members{after, open, {}, {}};
    MemberPlan plan(after);
    const MemberOrder order(changes, after);
    for (const auto& span : order.spans()) {
        if (span.removal != nullptr) {
            members.planned.push_back(MemberPlan::whiteout(*span.removal));
            members.nodes.push_back(snapshot::kNoNode);
        }
        for (auto node = span.first; node < span.end; ++node) {
            members.planned.push_back(plan.member(node, after.entry(node)));
            members.nodes.push_back(node);
        }
    }
    return write_members(members, options, out);
}

}  // namespace shale::layer
