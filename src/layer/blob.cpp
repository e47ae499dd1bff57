// From the end of a blob to its table of contents, and from there to the plain tar.
//
// Footer and table are checked against the blob's size before anything is read or allocated by what
// they say. A layer with a foreign table (foreign_toc.cpp) has no frames that make up its tar; it
// is decompressed from front to back.
#include "footer.hpp"
#include "toc_check.hpp"

#include <shale/layer_form.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

constexpr std::string_view kMagic = "shaleTOC";
constexpr std::uint64_t kTocType = 1;  // zstd-compressed JSON, version 1
constexpr std::size_t kReservedBytes = 24;
constexpr std::uint32_t kSkippableMagic = 0x184D2A50;

std::string read_range(oci::BlobSource& blobs, const Digest& blob, std::uint64_t offset,
                       std::uint64_t bytes) {
    std::string out(bytes, '\0');
    blobs.read_blob(blob, offset, std::as_writable_bytes(std::span(out)));
    return out;
}

// The footer points past the TOC's skippable header; what stands there must agree with it.
void check_toc_place(oci::BlobSource& blobs, const Digest& blob, const Footer& footer,
                     std::uint64_t footer_offset) {
    if (footer.toc_offset < kSkippableHeaderBytes || footer.toc_compressed > footer_offset ||
        footer.toc_offset != footer_offset - footer.toc_compressed)
        fail(ErrorKind::Corrupt,
             fmt::format("footer places the table of contents at {}+{}, not "
                         "before itself at {}",
                         footer.toc_offset, footer.toc_compressed, footer_offset));
    const auto header =
        read_range(blobs, blob, footer.toc_offset - kSkippableHeaderBytes, kSkippableHeaderBytes);
    ByteReader reader(as_bytes(header), "table of contents header");
    if (reader.u32() != kSkippableMagic || reader.u32() != footer.toc_compressed)
        reader.corrupt("no skippable frame of the stated length");
}

Toc load_toc(oci::BlobSource& blobs, const Digest& blob, const Footer& footer) {
    if (footer.toc_bytes > kMaxTocBytes)
        fail(ErrorKind::Corrupt,
             fmt::format("a table of contents of {} bytes is too large", footer.toc_bytes));
    const auto packed = read_range(blobs, blob, footer.toc_offset, footer.toc_compressed);
    std::string json(footer.toc_bytes, '\0');
    codec::FrameDecompressor().decompress_all(as_bytes(packed),
                                              std::as_writable_bytes(std::span(json)));
    Toc toc = decode_toc(as_bytes(json));
    const std::uint64_t frames_limit = footer.toc_offset - kSkippableHeaderBytes;
    for (const Frame& frame : toc.frames)
        if (frame.blob_offset + frame.blob_bytes > frames_limit)
            fail(ErrorKind::Corrupt,
                 fmt::format("frame at blob offset {}+{} reaches into the "
                             "table of contents at {}",
                             frame.blob_offset, frame.blob_bytes, frames_limit));
    return toc;
}

}  // namespace

std::string encode_footer(const Footer& footer) {
    std::string out;
    put_little(out, footer.toc_offset);
    put_little(out, footer.toc_compressed);
    put_little(out, footer.toc_bytes);
    put_little(out, kTocType);
    out.append(kReservedBytes, '\0');
    out.append(kMagic);
    SHALE_ENSURE(out.size() == kFooterBytes);
    return out;
}

std::optional<Footer> decode_footer(Bytes bytes) {
    SHALE_ENSURE(bytes.size() == kSkippableHeaderBytes + kFooterBytes);
    if (!as_text(bytes).ends_with(kMagic)) return std::nullopt;
    ByteReader reader(bytes, "layer footer");
    if (reader.u32() != kSkippableMagic || reader.u32() != kFooterBytes)
        reader.corrupt("no skippable frame around it");
    Footer footer;
    footer.toc_offset = reader.u64();
    footer.toc_compressed = reader.u64();
    footer.toc_bytes = reader.u64();
    if (const auto type = reader.u64(); type != kTocType)
        fail(ErrorKind::Unsupported, fmt::format("layer footer: type {} is unknown", type));
    const Bytes reserved = reader.take(kReservedBytes);
    if (std::any_of(reserved.begin(), reserved.end(),
                    [](std::byte b) { return b != std::byte{0}; }))
        reader.corrupt("reserved bytes are not zero");
    return footer;
}

bool is_own_footer(Bytes tail) {
    return as_text(tail).ends_with(kMagic);
}

namespace {

constexpr std::size_t kTailBytes = kSkippableHeaderBytes + kFooterBytes;

std::optional<Footer> read_footer(oci::BlobSource& blobs, const Digest& blob, std::uint64_t size) {
    if (size < kTailBytes) return std::nullopt;
    return decode_footer(as_bytes(read_range(blobs, blob, size - kTailBytes, kTailBytes)));
}

}  // namespace

std::optional<Toc> read_toc(oci::BlobSource& blobs, const Digest& blob) {
    return read_toc(blobs, blob, blobs.blob_size(blob));
}

std::optional<Toc> read_toc(oci::BlobSource& blobs, const Digest& blob, std::uint64_t size) {
    const auto where = [&] { return "reading the table of contents of " + blob.str(); };
    return in_context(where, [&]() -> std::optional<Toc> {
        const auto footer = read_footer(blobs, blob, size);
        if (!footer) return std::nullopt;
        check_toc_place(blobs, blob, *footer, size - kTailBytes);
        return load_toc(blobs, blob, *footer);
    });
}

std::optional<std::uint64_t> toc_tail_bytes(oci::BlobSource& blobs, const Digest& blob) {
    const auto where = [&] { return "reading the footer of " + blob.str(); };
    return in_context(where, [&]() -> std::optional<std::uint64_t> {
        const std::uint64_t size = blobs.blob_size(blob);
        const auto footer = read_footer(blobs, blob, size);
        if (!footer) return std::nullopt;
        check_toc_place(blobs, blob, *footer, size - kTailBytes);
        return size - footer->toc_offset + kSkippableHeaderBytes;
    });
}

bool is_toc_annotation(std::string_view name) {
    return name == kAnnotationTocDigest || name == kAnnotationTocBytes;
}

void vouch_for_toc(oci::BlobSource& blobs, oci::Descriptor& layer) {
    std::erase_if(layer.annotations,
                  [](const auto& pair) { return is_toc_annotation(pair.first); });
    try {
        const auto bytes = toc_tail_bytes(blobs, layer.digest);
        if (!bytes || *bytes > kMaxTocBytes) return;
        const auto tail = read_range(blobs, layer.digest, layer.size - *bytes, *bytes);
        layer.annotations[std::string(kAnnotationTocDigest)] = codec::sha256(tail).str();
        layer.annotations[std::string(kAnnotationTocBytes)] = std::to_string(*bytes);
    } catch (const Error& error) {  // a foreign blob may end in anything
        if (error.kind() != ErrorKind::Corrupt && error.kind() != ErrorKind::Unsupported) throw;
    }
}

namespace {

// What a layer may decompress to; stops bombs, not images.
constexpr std::uint64_t kMaxTarBytes = 256ull << 30;

// Of a layer with a foreign table, which does not say where the headers are.
codec::Source whole_tar(oci::BlobSource& blobs, const Digest& blob, FrameCoding coding) {
    const auto next = [&blobs, blob, size = blobs.blob_size(blob),
                       at = std::uint64_t{0}](MutableBytes out) mutable {
        out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - at)));
        if (!out.empty()) blobs.read_blob(blob, at, out);
        at += out.size();
        return out.size();
    };
    const auto stream = std::make_shared<codec::StreamDecompressor>(
        coding == FrameCoding::GzipPieces ? codec::StreamFormat::Gzip : codec::StreamFormat::Zstd,
        next, kMaxTarBytes);
    return [stream](MutableBytes out) { return stream->read(out); };
}

}  // namespace

codec::Source tar_stream(oci::BlobSource& blobs, const Digest& blob, const Toc& toc) {
    if (toc.coding != FrameCoding::Frames) return whole_tar(blobs, blob, toc.coding);
    struct State {
        std::vector<Frame> frames;  // those of the tar itself
        std::size_t next_frame = 0;
        codec::FrameDecompressor decompressor;
        std::string packed, tar;
        std::size_t at = 0;
    };
    auto state = std::make_shared<State>();  // std::function wants copyable captures
    for (const Frame& frame : toc.frames)
        if (frame.tar_offset < toc.tar_bytes) state->frames.push_back(frame);
    return [state, &blobs, blob](MutableBytes out) -> std::size_t {
        if (out.empty()) return 0;
        if (state->at == state->tar.size()) {
            if (state->next_frame == state->frames.size()) return 0;
            const Frame& frame = state->frames[state->next_frame++];
            state->packed.resize(frame.blob_bytes);
            state->tar.resize(frame.tar_bytes);
            state->at = 0;
            const auto where = [&] {
                return fmt::format("blob {} offset {}", blob.str(), frame.blob_offset);
            };
            in_context(where, [&] {
                blobs.read_blob(blob, frame.blob_offset,
                                std::as_writable_bytes(std::span(state->packed)));
                state->decompressor.decompress(as_bytes(state->packed),
                                               std::as_writable_bytes(std::span(state->tar)));
            });
        }
        const std::size_t count = std::min(out.size(), state->tar.size() - state->at);
        std::memcpy(out.data(), state->tar.data() + state->at, count);
        state->at += count;
        return count;
    };
}

}  // namespace shale::layer
