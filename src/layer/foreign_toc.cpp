// zstd:chunked of either generation and eStargz: footer -> JSON -> Toc.
//
// A foreign table does not say where in the tar a content lies, only in which piece of the blob. So
// the numbering that a Toc needs is made here: the pieces in the order of the entries, end to end.
// A piece goes from its offset to the next offset that the table names; what follows the content in
// there, padding and headers mostly, is never decompressed.
#include "foreign_toc.hpp"

#include "footer.hpp"
#include "seekable_writer.hpp"
#include "supersede.hpp"
#include "toc_check.hpp"
#include "toc_place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shale::layer {

namespace {

constexpr std::uint32_t kSkippableMagic = 0x184D2A50;
constexpr std::size_t kOldChunkedFooter = 40, kChunkedFooter = 64;
constexpr std::string_view kEStargzHead("\x1f\x8b\x08\x04", 4);
constexpr std::size_t kEStargzFooter = 51, kEStargzDigits = 16;
constexpr std::uint64_t kMaxPackedToc = kMaxTocBytes / 2;
constexpr std::uint64_t kReadBytes = 16 << 20;

[[noreturn]] void corrupt(const std::string& why) {
    fail(ErrorKind::Corrupt, "foreign table of contents: " + why);
}

std::optional<ForeignTable> chunked_table(Bytes tail, std::uint64_t blob_bytes) {
    const bool old = as_text(tail).ends_with(kOldChunkedMagic);
    const std::size_t footer_bytes = old ? kOldChunkedFooter : kChunkedFooter;
    if (!old && !as_text(tail).ends_with(kChunkedMagic)) return std::nullopt;
    if (tail.size() < kSkippableHeaderBytes + footer_bytes) corrupt("the blob ends before it");
    ByteReader reader(tail.last(kSkippableHeaderBytes + footer_bytes), "zstd:chunked footer");
    if (reader.u32() != kSkippableMagic || reader.u32() != footer_bytes)
        reader.corrupt("no skippable frame around it");
    ForeignTable table;
    table.offset = reader.u64();
    table.bytes = reader.u64();
    table.plain_bytes = reader.u64();
    if (reader.u64() != 1) reader.corrupt("the type of the table is unknown");
    const std::uint64_t end = blob_bytes - kSkippableHeaderBytes - footer_bytes;
    if (table.offset < kSkippableHeaderBytes || table.offset > end ||
        table.bytes > end - table.offset)
        corrupt(fmt::format("{}+{} lies outside the blob", table.offset, table.bytes));
    table.data_end = table.offset - kSkippableHeaderBytes;
    return table;
}

std::optional<ForeignTable> estargz_table(Bytes tail, std::uint64_t blob_bytes) {
    if (tail.size() < kEStargzFooter) return std::nullopt;
    const std::string_view footer = as_text(tail.last(kEStargzFooter));
    if (!footer.starts_with(kEStargzHead) || footer.substr(12, 2) != "SG" ||
        footer.substr(16 + kEStargzDigits, 6) != "STARGZ")
        return std::nullopt;
    ForeignTable table;
    table.coding = FrameCoding::GzipPieces;
    const char* const digits = footer.data() + 16;
    const auto [stop, error] = std::from_chars(digits, digits + kEStargzDigits, table.offset, 16);
    const std::uint64_t end = blob_bytes - kEStargzFooter;
    if (error != std::errc{} || stop != digits + kEStargzDigits || table.offset > end)
        corrupt("the eStargz footer points outside the blob");
    table.bytes = end - table.offset;
    table.data_end = table.offset;
    return table;
}

std::string unpack(codec::StreamFormat format, Bytes packed, std::uint64_t limit) {
    std::size_t at = 0;
    codec::StreamDecompressor stream(
        format,
        [&](MutableBytes out) {
            const std::size_t count = std::min(out.size(), packed.size() - at);
            std::copy_n(packed.begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
            at += count;
            return count;
        },
        limit);
    std::string out;
    std::vector<std::byte> buffer(256 << 10);
    while (const std::size_t got = stream.read(buffer))
        out.append(as_text(Bytes(buffer).first(got)));
    return out;
}

// What a compressor may at worst make of so many bytes; more of a piece is not read.
std::uint64_t most_packed(std::uint64_t bytes) {
    constexpr std::uint64_t kSlack = 64 << 10;
    return bytes + bytes / 64 + kSlack;
}

class PieceTable {
  public:
    PieceTable(const ForeignTable& table, Toc& toc, std::vector<TocPlace> places)
        : table_(table), toc_(toc), places_(std::move(places)) {
        offsets_.reserve(places_.size() + 1);
        for (const TocPlace& place : places_)
            offsets_.push_back(place.offset);
        offsets_.push_back(table.data_end);
        std::sort(offsets_.begin(), offsets_.end());
    }

    void make() {
        toc_.coding = table_.coding;
        for (at_ = 0; at_ < places_.size();)
            make_content(toc_.entries[places_[at_].entry]);
    }

    void add(const Frame& piece, const Digest& digest) {
        toc_.frames.push_back(piece);
        toc_.frame_digests.push_back(digest);
    }

  private:
    // All places of one entry follow one another.
    void make_content(TocEntry& entry) {
        const std::size_t first = at_, index = places_[at_].entry;
        entry.content_offset = end_of_frames(toc_);
        if (entry.content.is_zero()) unsupported(entry, "has no digest");
        std::uint64_t done = 0;
        for (; at_ < places_.size() && places_[at_].entry == index; ++at_) {
            const TocPlace& place = places_[at_];
            const std::uint64_t left = entry.member.size - done;
            const std::uint64_t bytes = place.chunk_bytes == 0 ? left : place.chunk_bytes;
            if (place.chunk_offset != done || bytes == 0 || bytes > left)
                corrupt(fmt::format("the chunks of \"{}\" do not follow one another at {}",
                                    entry.member.path, done));
            add_piece(entry, place, bytes, at_ == first && bytes == entry.member.size);
            done += bytes;
        }
        if (done != entry.member.size)
            corrupt(fmt::format("\"{}\" has chunks of {} bytes, and a size of {}",
                                entry.member.path, done, entry.member.size));
    }

    void add_piece(const TocEntry& entry, const TocPlace& place, std::uint64_t bytes, bool whole) {
        const Digest& digest = whole ? entry.content : place.digest;
        if (digest.is_zero()) unsupported(entry, "has a chunk without a digest");
        if (place.skip > kMaxPieceBytes || bytes > kMaxPieceBytes - place.skip)
            unsupported(entry, "lies in a piece that is too large");
        auto next = *std::upper_bound(offsets_.begin(), offsets_.end() - 1, place.offset);
        if (place.end > place.offset) next = std::min(next, place.end);
        if (place.offset >= next || next > table_.data_end)
            corrupt(fmt::format("\"{}\" has content at blob offset {}, outside the data",
                                entry.member.path, place.offset));
        const auto packed = std::min(next - place.offset, most_packed(place.skip + bytes));
        add({place.offset, packed, end_of_frames(toc_), bytes, place.skip}, digest);
    }

    [[noreturn]] static void unsupported(const TocEntry& entry, std::string_view why) {
        fail(ErrorKind::Unsupported,
             fmt::format("foreign table of contents: \"{}\" {}", entry.member.path, why));
    }

    const ForeignTable& table_;
    Toc& toc_;
    const std::vector<TocPlace> places_;
    std::vector<std::uint64_t> offsets_;
    std::size_t at_ = 0;
};

// The table is a member of the archive, too, and every program that does not know it unpacks it.
void add_table_member(const ForeignTable& table, const ForeignJson& json, Toc& toc,
                      PieceTable& pieces) {
    if (json.json.size() + json.member_skip > kMaxPieceBytes)
        fail(ErrorKind::Unsupported, "foreign table of contents: too large to be read as a file");
    TocEntry entry;
    entry.member = *json.member;
    entry.content = codec::sha256(json.json);
    entry.content_offset = end_of_frames(toc);
    pieces.add(
        {table.offset, table.bytes, entry.content_offset, json.json.size(), json.member_skip},
        entry.content);
    toc.entries.push_back(std::move(entry));
}

// What annotations say of the table: of its compressed bytes, or of the JSON. They are the
// manifest's word, by which a table that was fetched alone is as good as one of a hashed blob.
std::vector<std::string> annotations_of_packed() {
    return {fmt::format("{}manifest-checksum", kChunkedKeys),
            fmt::format("{}manifest-checksum", kOldChunkedKeys)};
}

void check_annotations(const oci::Annotations& annotations, Bytes packed, const std::string& json) {
    const auto check = [&](const std::string& name, const auto& hashed) {
        const auto given = annotations.find(name);
        if (given == annotations.end()) return;
        if (const Digest digest = codec::sha256(hashed); given->second != digest.str())
            corrupt(fmt::format("it hashes to {}, its annotation says {}", digest.str(),
                                given->second));
    };
    for (const auto& name : annotations_of_packed())
        check(name, packed);
    check(kStargzTocDigest, json);
}

}  // namespace

std::optional<ForeignTable> find_foreign_table(Bytes tail, std::uint64_t blob_bytes) {
    SHALE_ENSURE(tail.size() <= blob_bytes);
    if (auto table = chunked_table(tail, blob_bytes)) return table;
    return estargz_table(tail, blob_bytes);
}

ForeignJson unpack_foreign_table(const ForeignTable& table, Bytes packed) {
    if (table.coding == FrameCoding::ZstdPieces) {
        if (table.plain_bytes > kMaxTocBytes)
            corrupt(fmt::format("{} bytes are too many", table.plain_bytes));
        ForeignJson json{unpack(codec::StreamFormat::Zstd, packed, table.plain_bytes), {}, 0};
        if (json.json.size() != table.plain_bytes) corrupt("it is shorter than its footer says");
        return json;
    }
    const std::string tar_bytes = unpack(codec::StreamFormat::Gzip, packed, kMaxTocBytes);
    std::size_t at = 0;
    tar::Reader reader(
        [&](MutableBytes out) {
            const std::size_t count = std::min(out.size(), tar_bytes.size() - at);
            std::copy_n(as_bytes(tar_bytes).begin() + static_cast<std::ptrdiff_t>(at), count,
                        out.begin());
            at += count;
            return count;
        },
        "the table of contents of an eStargz");
    ForeignJson json;
    json.member = reader.next();
    if (!json.member || json.member->path != kEStargzToc || !reader.content_is_contiguous())
        corrupt("no member " + std::string(kEStargzToc) + " where the footer points");
    json.member_skip = reader.content_offset();
    if (json.member_skip > tar_bytes.size() ||
        json.member->size > tar_bytes.size() - json.member_skip || json.member->size == 0)
        corrupt("its member is cut short");
    json.json = tar_bytes.substr(json.member_skip, json.member->size);
    return json;
}

Toc decode_foreign_toc(const ForeignTable& table, const ForeignJson& json) {
    std::vector<TocPlace> places;
    Toc toc = parse_toc(as_bytes(json.json), &places);
    toc.frames.clear();  // keys of ours mean nothing here
    toc.frame_digests.clear();
    toc.tar_bytes = 0;
    PieceTable pieces(table, toc, std::move(places));
    pieces.make();
    if (json.member) add_table_member(table, json, toc, pieces);
    toc.entries = without_superseded(std::move(toc.entries));
    check_toc(toc);
    return toc;
}

bool states_foreign_toc(const oci::Descriptor& layer) {
    const auto names = annotations_of_packed();
    return layer.annotations.contains(kStargzTocDigest) ||
           std::any_of(names.begin(), names.end(),
                       [&](const auto& name) { return layer.annotations.contains(name); });
}

std::optional<Toc> read_layer_toc(oci::BlobSource& blobs, const oci::Descriptor& layer) {
    const auto where = [&] { return "reading the table of contents of " + layer.digest.str(); };
    return in_context(where, [&]() -> std::optional<Toc> {
        const std::uint64_t size = layer.size != 0 ? layer.size : blobs.blob_size(layer.digest);
        std::vector<std::byte> tail(std::min<std::uint64_t>(size, kLargestForeignTail));
        blobs.read_blob(layer.digest, size - tail.size(), tail);
        if (is_own_footer(tail)) return read_toc(blobs, layer.digest, size);
        const auto table = find_foreign_table(tail, size);
        if (!table) return std::nullopt;
        if (table->bytes > kMaxPackedToc)
            corrupt(fmt::format("{} compressed bytes are too many", table->bytes));
        // Memory is taken when bytes come: the footer may promise anything.
        std::vector<std::byte> packed;
        while (packed.size() < table->bytes) {
            const auto at = packed.size();
            packed.resize(at + std::min<std::uint64_t>(table->bytes - at, kReadBytes));
            blobs.read_blob(layer.digest, table->offset + at, MutableBytes(packed).subspan(at));
        }
        const auto json = unpack_foreign_table(*table, packed);
        check_annotations(layer.annotations, packed, json.json);
        return decode_foreign_toc(*table, json);
    });
}

}  // namespace shale::layer
