// What follows the contents of an estargz, zstd:chunked or zstd:stargz layer: table, tar-split and
// footer.
//
// The tables are JSON of one family and differ in what they say of a content's place. With zstd
// table and tar-split lie beside the tar, in frames that a decoder skips; estargz makes the table
// the archive's last member.
#include "footer.hpp"
#include "json_names.hpp"
#include "seekable_writer.hpp"
#include "toc_fields.hpp"

#include <shale/gzip_member.hpp>

#include <fmt/format.h>

#include <array>

namespace shale::layer {

namespace {

constexpr std::uint64_t kChunkedType = 1;  // "CRFS", the only one there is

void append_text(std::string& out, std::string_view key, const std::string& value) {
    fmt::format_to(std::back_inserter(out), ",\"{}\":\"{}\"", key, value);
}

// Where a chunk lies, and which of a content's chunks it is. Dialects differ in what a chunk that
// is the whole content says.
void append_place(std::string& out, const SeekableEntry& entry, const ContentChunk& chunk,
                  const FramePipeline::Result& result) {
    append_number(out, "offset", result.frames[chunk.piece].blob_offset);
    if (entry.chunks.size() == 1) return;
    append_nonzero(out, "chunkOffset", chunk.offset);
    append_number(out, "chunkSize", chunk.bytes);
    append_text(out, "chunkDigest", chunk.digest.str());
    if (chunk.zeros) append_text(out, "chunkType", "zeros");
}

std::uint64_t end_of(const Frame& frame) {
    return frame.blob_offset + frame.blob_bytes;
}

template <typename AppendPlace>
std::string entries_json(const SeekableBody& body, const AppendPlace& append_place_of) {
    std::string out = "{\"version\":1,\"entries\":[\n";
    bool first = true;
    for (const SeekableEntry& entry : body.entries) {
        out.append(std::exchange(first, false) ? "" : ",\n");
        append_entry_fields(out, entry.member, true);
        for (const ContentChunk& chunk : entry.chunks) {
            if (chunk.offset == 0) {
                append_text(out, "digest", entry.content.str());
            } else {
                out.append("},\n{\"type\":\"chunk\",\"name\":");
                append_json_name(out, tar_name(entry.member));
            }
            append_place_of(out, entry, chunk);
        }
        out.push_back('}');
    }
    return out.append("]");
}

void check_size(const SeekableBody& body, const std::string& json) {
    if (json.size() > kMaxTocBytes)
        fail(ErrorKind::Unsupported,
             fmt::format("a layer of {} entries is too large for a table of contents",
                         body.entries.size()));
}

// A zstd dialect's table, compressed, and where in the blob it comes to lie.
struct PackedTable {
    std::uint64_t offset = 0, plain_bytes = 0;
    std::string packed;

    std::uint64_t end() const { return offset + packed.size(); }
    // A manifest says where the table is and what it hashes to, under the keys of a dialect.
    void annotate(oci::Annotations& annotations, std::string_view keys) const {
        annotations.emplace(fmt::format("{}manifest-checksum", keys), codec::sha256(packed).str());
        annotations.emplace(
            fmt::format("{}manifest-position", keys),
            fmt::format("{}:{}:{}:{}", offset, packed.size(), plain_bytes, kChunkedType));
    }
};

PackedTable pack_table(const SeekableBody& body, const std::string& json, int level) {
    check_size(body, json);
    PackedTable table{body.result.blob_bytes + kSkippableHeaderBytes, json.size(), {}};
    codec::FrameCompressor(level).compress(as_bytes(json), table.packed);
    return table;
}

// The fields that both footers begin with.
std::string footer_of(const PackedTable& table) {
    std::string footer;
    for (const std::uint64_t value :
         {table.offset, std::uint64_t{table.packed.size()}, table.plain_bytes, kChunkedType})
        put_little(footer, value);
    return footer;
}

std::string chunked_footer(const SeekableBody& body, const PackedTable& table) {
    std::string footer = footer_of(table);
    for (const std::uint64_t value : {table.end() + kSkippableHeaderBytes,
                                      std::uint64_t{body.tar_split.size()}, body.tar_split_bytes})
        put_little(footer, value);
    return footer.append(kChunkedMagic);
}

Formed complete(SeekableBody& body, const std::string& tail, const codec::Sink& out) {
    body.result.blob_hash.update(as_bytes(tail));
    out(as_bytes(tail));
    Formed formed;
    formed.blob = body.result.blob_hash.finish();
    formed.blob_bytes = body.result.blob_bytes + tail.size();
    formed.diff_id = body.result.tar_hash.finish();
    formed.tar_bytes = body.result.tar_bytes;
    return formed;
}

// An empty gzip member whose extra field says where the TOC's member begins.
std::string estargz_footer(std::uint64_t toc_at) {
    const std::string subfield = fmt::format("{:016x}STARGZ", toc_at);
    std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff", 10);  // with an extra field; no time
    put_little(footer, static_cast<std::uint16_t>(subfield.size() + 4));
    footer.append("SG");
    put_little(footer, static_cast<std::uint16_t>(subfield.size()));
    footer.append(subfield);
    footer.append("\x01\0\0\xff\xff", 5);  // one stored block of nothing
    footer.append(8, '\0');                // checksum and size of nothing
    return footer;
}

// The archive's last member and its end.
std::string estargz_toc_member(const std::string& json) {
    tar::Member member;
    member.path = kEStargzToc;
    member.mode = 0444;
    member.size = json.size();
    return tar::encode_header(member).append(json).append(
        tar::padding(json.size()) + tar::kTrailerBytes, '\0');
}

}  // namespace

std::string zstd_chunked_toc(const SeekableBody& body, const Digest& tar_split) {
    std::string json = entries_json(body, [&](std::string& out, const SeekableEntry& entry,
                                              const ContentChunk& chunk) {
        append_place(out, entry, chunk, body.result);
        if (chunk.offset == 0)
            append_number(out, "endOffset", end_of(body.result.frames[entry.chunks.back().piece]));
    });
    append_text(json, "tarSplitDigest", tar_split.str());
    return json.append("}\n");
}

std::string stargz_toc(const SeekableBody& body) {
    return entries_json(
               body,
               [&](std::string& out, const SeekableEntry& entry, const ContentChunk& chunk) {
                   append_number(out, "offset", body.result.frames[chunk.piece].blob_offset);
                   append_nonzero(out, "chunkOffset", chunk.offset);
                   // The last chunk goes to the end, which is said by saying nothing.
                   const bool is_last = chunk.offset + chunk.bytes == entry.member.size;
                   if (!is_last) append_number(out, "chunkSize", chunk.bytes);
                   append_text(out, "chunkDigest", chunk.digest.str());
               })
        .append("}\n");
}

Formed finish_zstd_chunked(SeekableBody body, int level, const codec::Sink& out) {
    const PackedTable table =
        pack_table(body, zstd_chunked_toc(body, codec::sha256(body.tar_split)), level);
    std::string tail;
    codec::append_skippable_frame(as_bytes(table.packed), tail);
    codec::append_skippable_frame(as_bytes(body.tar_split), tail);
    codec::append_skippable_frame(as_bytes(chunked_footer(body, table)), tail);
    Formed formed = complete(body, tail, out);
    table.annotate(formed.annotations, kChunkedKeys);
    table.annotate(formed.annotations, kOldChunkedKeys);
    formed.annotations.emplace(fmt::format("{}tarsplit-position", kChunkedKeys),
                               fmt::format("{}:{}:{}", table.end() + kSkippableHeaderBytes,
                                           body.tar_split.size(), body.tar_split_bytes));
    return formed;
}

// The keys of the second generation are not given: who knows them takes no layer that has
// stargz-snapshotter's, too.
Formed finish_zstd_stargz(SeekableBody body, int level, const codec::Sink& out) {
    const std::string json = stargz_toc(body);
    const PackedTable table = pack_table(body, json, level);
    std::string tail;
    codec::append_skippable_frame(as_bytes(table.packed), tail);
    codec::append_skippable_frame(as_bytes(footer_of(table).append(kOldChunkedMagic)), tail);
    Formed formed = complete(body, tail, out);
    table.annotate(formed.annotations, kOldChunkedKeys);
    formed.annotations.emplace(kStargzTocDigest, codec::sha256(json).str());
    return formed;
}

Formed finish_estargz(SeekableBody body, int level, const codec::Sink& out) {
    const std::string json = stargz_toc(body);
    check_size(body, json);
    const std::string member = estargz_toc_member(json);
    body.result.tar_hash.update(as_bytes(member));
    body.result.tar_bytes += member.size();
    std::string tail;
    codec::GzipMemberCompressor(level).compress(as_bytes(member), tail);
    tail.append(estargz_footer(body.result.blob_bytes));
    Formed formed = complete(body, tail, out);
    formed.annotations = {
        {kStargzTocDigest, codec::sha256(json).str()},
        {"io.containers.estargz.uncompressed-size", std::to_string(formed.tar_bytes)},
    };
    return formed;
}

}  // namespace shale::layer
