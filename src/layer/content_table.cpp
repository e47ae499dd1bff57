// Places sorted by digest, looked up where they lie.
//
// SHA-256 spreads evenly, so a digest's own first bytes say about where it stands among the others:
// a look-up begins there and widens, and touches two or three cache lines, not one per halving.
#include "toc_check.hpp"
#include "toc_fields.hpp"

#include <shale/checksum.hpp>

#include <algorithm>
#include <cmath>

namespace shale::layer {

namespace {

using codec::kChecksumBytes;

constexpr std::string_view kMagic = "shalePLC";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 40, kCountOffset = 24;

// As they lie in the file.
struct Record {
    Digest digest;
    std::uint64_t tar_offset, size;
};
static_assert(sizeof(Record) == 48);
struct FrameRecord {
    std::uint64_t blob_offset, blob_bytes, tar_offset, tar_bytes, skip;
};

std::uint64_t leading_bits(const Digest& digest) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof bits; ++i)
        bits = bits << 8 | digest.bytes[i];
    return bits;
}

// In the order of their digests, the first of equal ones alone.
std::vector<std::uint32_t> sorted_order(const std::vector<ContentTable::Content>& contents) {
    struct Key {
        std::uint64_t bits;
        std::uint32_t at;
    };
    std::vector<Key> keys;
    keys.reserve(contents.size());
    for (const auto& content : contents)
        keys.push_back({leading_bits(content.digest), static_cast<std::uint32_t>(keys.size())});
    std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
        if (a.bits != b.bits) return a.bits < b.bits;
        const auto& x = contents[a.at].digest;
        const auto& y = contents[b.at].digest;
        return x == y ? a.at < b.at : x < y;
    });
    std::vector<std::uint32_t> order;
    order.reserve(keys.size());
    for (const Key& key : keys)
        if (order.empty() || contents[order.back()].digest != contents[key.at].digest)
            order.push_back(key.at);
    return order;
}

std::vector<ContentTable::Content> contents_of(const Toc& toc) {
    std::vector<ContentTable::Content> contents;
    for (const TocEntry& entry : toc.entries)
        if (has_content(entry.member))
            contents.push_back({entry.content, {entry.content_offset, entry.member.size}});
    return contents;
}

std::string encode(const FrameTable& table, const std::vector<ContentTable::Content>& contents) {
    const auto order = sorted_order(contents);
    std::string out;
    out.reserve(kHeaderBytes + order.size() * sizeof(Record) +
                table.frames.size() * (sizeof(FrameRecord) + sizeof(Digest)) + kChecksumBytes);
    out.append(kMagic);
    put_little(out, kVersion);
    put_little(out, static_cast<std::uint32_t>(table.coding));
    put_little(out, table.tar_bytes);
    put_little(out, std::uint64_t{order.size()});
    put_little(out, std::uint64_t{table.frames.size()});
    for (const std::uint32_t at : order)
        put_little(out, Record{contents[at].digest, contents[at].range.tar_offset,
                               contents[at].range.size});
    for (const Frame& frame : table.frames)
        put_little(out, FrameRecord{frame.blob_offset, frame.blob_bytes, frame.tar_offset,
                                    frame.tar_bytes, frame.skip});
    for (const Digest& digest : table.frame_digests)
        put_little(out, digest);
    codec::append_checksum(out);
    return out;
}

}  // namespace

ContentTable::ContentTable(FrameTable frames, const std::vector<Content>& contents)
    : memory_(encode(frames, contents)), bytes_(as_bytes(memory_)), frames_(std::move(frames)) {
    ByteReader header(bytes_, "places");
    header.take(kCountOffset);
    count_ = header.u64();
}

ContentTable::ContentTable(const Toc& toc)
    : ContentTable(static_cast<const FrameTable&>(toc), contents_of(toc)) {}

ContentTable::ContentTable(Mapping file) : file_(std::move(file)), bytes_(file_.bytes()) {
    ByteReader reader(bytes_, "places");
    if (bytes_.size() < kHeaderBytes + kChecksumBytes || as_text(reader.take(8)) != kMagic)
        reader.corrupt("no table of places");
    if (reader.u32() != kVersion) reader.corrupt("of another version");
    const std::uint32_t coding = reader.u32();
    if (coding > static_cast<std::uint32_t>(FrameCoding::GzipPieces))
        reader.corrupt("unknown coding");
    frames_.coding = static_cast<FrameCoding>(coding);
    frames_.tar_bytes = reader.u64();
    const std::uint64_t count = reader.u64(), frame_count = reader.u64();
    const bool has_digests = frames_.coding != FrameCoding::Frames;
    if (count > kMaxEntries || frame_count > kMaxFrames) reader.corrupt("impossible counts");
    const std::uint64_t frame_bytes = sizeof(FrameRecord) + (has_digests ? sizeof(Digest) : 0);
    if (bytes_.size() !=
        kHeaderBytes + count * sizeof(Record) + frame_count * frame_bytes + kChecksumBytes)
        reader.corrupt("lengths do not add up");
    if (!codec::has_checksum(bytes_)) reader.corrupt("checksum mismatch");
    count_ = static_cast<std::size_t>(count);
    reader.take(count * sizeof(Record));
    for (std::uint64_t i = 0; i < frame_count; ++i) {
        FrameRecord record;
        std::memcpy(&record, reader.take(sizeof record).data(), sizeof record);
        frames_.frames.push_back({record.blob_offset, record.blob_bytes, record.tar_offset,
                                  record.tar_bytes, record.skip});
    }
    for (std::uint64_t i = 0; has_digests && i < frame_count; ++i)
        std::memcpy(&frames_.frame_digests.emplace_back(), reader.take(sizeof(Digest)).data(),
                    sizeof(Digest));
    check_frames(frames_);
}

std::optional<ContentTable::Range> ContentTable::find(const Digest& content) const {
    if (count_ == 0) return std::nullopt;
    const std::span records(reinterpret_cast<const Record*>(bytes_.data() + kHeaderBytes), count_);
    const double share = static_cast<double>(leading_bits(content)) * 0x1p-64;  // may round to 1
    const auto guess =
        std::min(static_cast<std::size_t>(share * static_cast<double>(count_)), count_ - 1);
    // How far off the guess is grows with the square root of how many there are.
    auto step = static_cast<std::size_t>(std::sqrt(static_cast<double>(count_))) / 2 + 1;
    std::size_t low = guess, high = guess;
    while (low > 0 && records[low].digest > content) {
        low -= std::min(low, step);
        step *= 2;
    }
    while (high < count_ && records[high].digest < content) {
        high += std::min(count_ - high, step);
        step *= 2;
    }
    const auto window = records.subspan(low, std::min(high + 1, count_) - low);
    const auto found = std::partition_point(window.begin(), window.end(),
                                            [&](const Record& r) { return r.digest < content; });
    if (found == window.end() || found->digest != content) return std::nullopt;
    const std::uint64_t end = end_of_frames(frames_);
    if (found->size > end || found->tar_offset > end - found->size)
        fail(ErrorKind::Corrupt, "places: a content lies outside of the frames");
    return Range{found->tar_offset, found->size};
}

}  // namespace shale::layer
