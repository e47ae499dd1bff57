#include "frame_decode.hpp"

#include <shale/layer_form.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

codec::StreamDecompressor unpacked(FrameCoding coding, Bytes packed, std::uint64_t limit) {
    return {coding == FrameCoding::GzipPieces ? codec::StreamFormat::Gzip
                                              : codec::StreamFormat::Zstd,
            [packed](MutableBytes into) mutable {
                const std::size_t count = std::min(into.size(), packed.size());
                std::copy_n(packed.begin(), count, into.begin());
                packed = packed.subspan(count);
                return count;
            },
            limit};
}

// Decompresses no further than `out` goes: the rest of the piece is other members' business.
void decode_piece(FrameCoding coding, std::uint64_t skip, Bytes packed, MutableBytes out) {
    auto stream = unpacked(coding, packed, skip + out.size());
    std::vector<std::byte> skipped(std::min<std::uint64_t>(skip, 64 << 10));
    while (skip > 0) {
        const auto now = std::min<std::uint64_t>(skip, skipped.size());
        const std::size_t got = stream.read(MutableBytes(skipped).first(now));
        if (got == 0) fail(ErrorKind::Corrupt, "the piece ends before its content");
        skip -= got;
    }
    while (!out.empty()) {
        const std::size_t got = stream.read(out);
        if (got == 0)
            fail(ErrorKind::Corrupt, fmt::format("the piece is {} bytes short", out.size()));
        out = out.subspan(got);
    }
}

void check_digest(const FrameTable& table, std::size_t index, Bytes content) {
    const Digest found = codec::sha256(content);
    if (found != table.frame_digests.at(index))
        fail(ErrorKind::Corrupt,
             fmt::format("its content hashes to {}, the table of contents says {}", found.str(),
                         table.frame_digests[index].str()));
}

}  // namespace

void check_pieces(const FrameTable& table, std::span<const std::size_t> pieces, Bytes packed) {
    std::vector<std::size_t> ordered(pieces.begin(), pieces.end());
    const auto skip = [&](std::size_t index) { return table.frames[index].skip; };
    const auto end = [&](std::size_t index) { return skip(index) + table.frames[index].tar_bytes; };
    std::ranges::sort(ordered, {}, skip);
    std::vector<std::byte> content(
        ordered.empty() ? 0 : end(*std::ranges::max_element(ordered, {}, end)));
    decode_piece(table.coding, 0, packed, content);
    // Nothing is hashed twice, however often the table names it.
    const std::size_t* before = nullptr;
    for (const auto& index : ordered) {
        if (before && skip(index) < end(*before)) {
            if (skip(index) == skip(*before) && end(index) == end(*before) &&
                table.frame_digests.at(index) == table.frame_digests.at(*before))
                continue;
            fail(ErrorKind::Corrupt, "the table of contents has two pieces that overlap");
        }
        check_digest(table, index,
                     Bytes(content).subspan(skip(index), table.frames[index].tar_bytes));
        before = &index;
    }
}

void decode_frame(codec::FrameDecompressor& decompressor, const FrameTable& table,
                  std::size_t index, Bytes packed, MutableBytes out) {
    if (table.coding == FrameCoding::Frames) return decompressor.decompress(packed, out);
    decode_piece(table.coding, table.frames[index].skip, packed, out);
    check_digest(table, index, out);
}

}  // namespace shale::layer
