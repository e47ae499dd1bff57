// Compressed streams from strangers, in whatever format their first bytes announce: decompressed
// up to the limit or refused with an Error, and the same however small the pieces asked for are.
#include <shale/codec.hpp>

#include <algorithm>

using namespace shale;

namespace {

constexpr std::uint64_t kMaxOutput = 1 << 20;

codec::Source source_of(Bytes bytes, std::size_t piece) {
    return [bytes, piece](MutableBytes out) mutable {
        const std::size_t count = std::min({out.size(), bytes.size(), piece});
        std::copy_n(bytes.begin(), count, out.begin());
        bytes = bytes.subspan(count);
        return count;
    };
}

// nullopt if refused.
std::optional<std::string> decompressed(Bytes bytes, std::size_t input_piece,
                                        std::size_t output_piece) {
    std::string all, buffer(output_piece, '\0');
    try {
        codec::StreamDecompressor stream(codec::sniff(bytes), source_of(bytes, input_piece),
                                         kMaxOutput);
        while (const std::size_t got = stream.read(std::as_writable_bytes(std::span(buffer))))
            all.append(buffer, 0, got);
    } catch (const Error&) {
        return std::nullopt;
    }
    SHALE_ENSURE(all.size() <= kMaxOutput);
    return all;
}

void one_frame(Bytes bytes) {
    std::string out(64 << 10, '\0');
    try {
        codec::FrameDecompressor().decompress(bytes, std::as_writable_bytes(std::span(out)));
    } catch (const Error&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    SHALE_ENSURE(decompressed(bytes, SIZE_MAX, 64 << 10) == decompressed(bytes, 13, 101));
    one_frame(bytes);
    return 0;
}
