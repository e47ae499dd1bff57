// Independent zstd frames, one call each, and the skippable frames between which they may stand.
#define ZSTD_STATIC_LINKING_ONLY  // for the estimate of what a context takes
#include "zstd_level.hpp"

#include <shale/codec.hpp>
#include <shale/codec_state.hpp>

namespace shale::codec {

std::uint32_t zstd_version() {
    return ZSTD_versionNumber();
}

struct FrameCompressor::State {
    std::unique_ptr<ZSTD_CCtx, FreeZstd> context{ZSTD_createCCtx()};
    // Never zero-filled, unlike a string that grows: a frame is far smaller than its bound.
    std::unique_ptr<std::byte[]> packed;
    std::size_t capacity = 0;
};

FrameCompressor::FrameCompressor(int level) : state_(std::make_unique<State>()) {
    if (!state_->context) throw std::bad_alloc();
    configure_encoder(state_->context.get(), level);
}

FrameCompressor::FrameCompressor(FrameCompressor&&) noexcept = default;
FrameCompressor::~FrameCompressor() = default;

std::uint64_t frame_compressor_bytes(int level, std::uint64_t frame_bytes) {
    auto parameters = ZSTD_getCParams(level, frame_bytes, 0);
    parameters.windowLog = std::min<unsigned>(parameters.windowLog, kMaxWindowLog);
    return ZSTD_estimateCCtxSize_usingCParams(parameters) + ZSTD_compressBound(frame_bytes);
}

void FrameCompressor::compress(Bytes content, std::string& out) {
    State& state = *state_;
    const std::size_t bound = ZSTD_compressBound(content.size());
    if (state.capacity < bound) {
        state.packed = std::make_unique_for_overwrite<std::byte[]>(bound);
        state.capacity = bound;
    }
    const std::size_t made = ZSTD_compress2(state.context.get(), state.packed.get(), bound,
                                            content.data(), content.size());
    if (ZSTD_isError(made))
        fail(ErrorKind::System, fmt::format("zstd: {}", ZSTD_getErrorName(made)));
    out.append(as_text({state.packed.get(), made}));
}

struct FrameDecompressor::State {
    std::unique_ptr<ZSTD_DCtx, FreeZstd> context{ZSTD_createDCtx()};
};

FrameDecompressor::FrameDecompressor() : state_(std::make_unique<State>()) {
    if (!state_->context) throw std::bad_alloc();
}

FrameDecompressor::FrameDecompressor(FrameDecompressor&&) noexcept = default;
FrameDecompressor::~FrameDecompressor() = default;

namespace {

// libzstd would take a skippable frame for one that decodes to nothing.
void require_data_frame(Bytes frame) {
    if (!as_text(frame).starts_with("\x28\xb5\x2f\xfd"))
        fail(ErrorKind::Corrupt, "zstd frame: wrong magic number");
}

std::size_t checked(std::size_t result) {
    if (ZSTD_isError(result))
        fail(ErrorKind::Corrupt, fmt::format("zstd frame: {}", ZSTD_getErrorName(result)));
    return result;
}

}  // namespace

void FrameDecompressor::decompress(Bytes frame, MutableBytes out) {
    require_data_frame(frame);
    const std::size_t length = checked(ZSTD_findFrameCompressedSize(frame.data(), frame.size()));
    if (length != frame.size())
        fail(ErrorKind::Corrupt,
             fmt::format("zstd frame: {} bytes follow its end", frame.size() - length));
    decompress_all(frame, out);
}

void FrameDecompressor::decompress_all(Bytes frames, MutableBytes out) {
    require_data_frame(frames);
    const std::size_t made = checked(ZSTD_decompressDCtx(state_->context.get(), out.data(),
                                                         out.size(), frames.data(), frames.size()));
    if (made != out.size())
        fail(ErrorKind::Corrupt,
             fmt::format("zstd frame: {} bytes where {} were promised", made, out.size()));
}

void append_skippable_header(std::size_t content_bytes, std::string& out) {
    SHALE_ENSURE(content_bytes <= UINT32_MAX);
    put_little(out, std::uint32_t{ZSTD_MAGIC_SKIPPABLE_START});
    put_little(out, static_cast<std::uint32_t>(content_bytes));
}

void append_skippable_frame(Bytes content, std::string& out) {
    append_skippable_header(content.size(), out);
    out.append(as_text(content));
}

}  // namespace shale::codec
