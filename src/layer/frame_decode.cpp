#include "frame_decode.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

// Decompresses no further than `out` goes: the rest of the piece is other members' business.
void decode_piece(FrameCoding coding, std::uint64_t skip, Bytes packed, MutableBytes out) {
    codec::StreamDecompressor stream(
        coding == FrameCoding::GzipPieces ? codec::StreamFormat::Gzip : codec::StreamFormat::Zstd,
        [&](MutableBytes into) {
            const std::size_t count = std::min(into.size(), packed.size());
            std::copy_n(packed.begin(), count, into.begin());
            packed = packed.subspan(count);
            return count;
        },
        skip + out.size());
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

}  // namespace

void decode_frame(codec::FrameDecompressor& decompressor, const FrameTable& table,
                  std::size_t index, Bytes packed, MutableBytes out) {
    if (table.coding == FrameCoding::Frames) return decompressor.decompress(packed, out);
    decode_piece(table.coding, table.frames[index].skip, packed, out);
    const Digest found = codec::sha256(out);
    if (found != table.frame_digests.at(index))
        fail(ErrorKind::Corrupt,
             fmt::format("its content hashes to {}, the table of contents says {}", found.str(),
                         table.frame_digests[index].str()));
}

}  // namespace shale::layer
