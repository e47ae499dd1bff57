// One-stream compressors. A stream that is destroyed before finish() was abandoned: what its sink
// holds then is a truncated stream, which every decoder rejects.
#include "gzip_encoder.hpp"
#include "zstd_level.hpp"

#include <shale/codec.hpp>

#include <algorithm>
#include <array>
#include <thread>

namespace shale::codec {

namespace {

constexpr std::size_t kOutputBytes = 64 << 10;

class Encoder {
  public:
    virtual ~Encoder() = default;
    virtual void write(Bytes bytes, const Sink& output) = 0;
    virtual void finish(const Sink& output) = 0;
};

class PlainEncoder final : public Encoder {
  public:
    void write(Bytes bytes, const Sink& output) override { output(bytes); }
    void finish(const Sink&) override {}
};

class ParallelGzipEncoder final : public Encoder {
  public:
    explicit ParallelGzipEncoder(int level) : encoder_(level) {}
    void write(Bytes bytes, const Sink& output) override { encoder_.write(bytes, output); }
    void finish(const Sink& output) override { encoder_.finish(output); }

  private:
    GzipEncoder encoder_;
};

// On all cores. libzstd cuts its jobs by the input and the level alone: one worker and many give
// the same bytes.
class ZstdEncoder final : public Encoder {
  public:
    explicit ZstdEncoder(int level) {
        if (!context_) throw std::bad_alloc();
        configure_encoder(context_.get(), level);
        const unsigned workers = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxWorkers);
        // A libzstd without threads refuses, and works without.
        ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_nbWorkers, static_cast<int>(workers));
    }
    void write(Bytes bytes, const Sink& output) override { run(bytes, ZSTD_e_continue, output); }
    void finish(const Sink& output) override { run({}, ZSTD_e_end, output); }

  private:
    static constexpr unsigned kMaxWorkers = 16;

    void run(Bytes bytes, ZSTD_EndDirective directive, const Sink& output) {
        ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
        std::size_t left = 0;
        do {
            ZSTD_outBuffer made{buffer_.data(), buffer_.size(), 0};
            left = ZSTD_compressStream2(context_.get(), &made, &input, directive);
            if (ZSTD_isError(left))
                fail(ErrorKind::System, fmt::format("zstd: {}", ZSTD_getErrorName(left)));
            if (made.pos > 0) output(Bytes(buffer_).first(made.pos));
        } while (input.pos < input.size || (directive == ZSTD_e_end && left != 0));
    }

    std::unique_ptr<ZSTD_CCtx, FreeZstd> context_{ZSTD_createCCtx()};
    std::array<std::byte, kOutputBytes> buffer_{};
};

std::unique_ptr<Encoder> make_encoder(StreamFormat format, int level) {
    switch (format) {
    case StreamFormat::Plain:
        return std::make_unique<PlainEncoder>();
    case StreamFormat::Gzip:
        return std::make_unique<ParallelGzipEncoder>(level);
    case StreamFormat::Zstd:
        return std::make_unique<ZstdEncoder>(level);
    case StreamFormat::Bzip2:
    case StreamFormat::Xz:
        break;
    }
    fail(ErrorKind::Unsupported, "bzip2 and xz streams are read, never written");
}

}  // namespace

struct StreamCompressor::State {
    std::unique_ptr<Encoder> encoder;
    Sink output;
    bool finished = false;
};

StreamCompressor::StreamCompressor(StreamFormat format, int level, Sink output)
    : state_(std::make_unique<State>()) {
    state_->encoder = make_encoder(format, level);
    state_->output = std::move(output);
}

StreamCompressor::StreamCompressor(StreamCompressor&&) noexcept = default;
StreamCompressor::~StreamCompressor() = default;

void StreamCompressor::write(Bytes bytes) {
    SHALE_ENSURE(!state_->finished);
    state_->encoder->write(bytes, state_->output);
}

void StreamCompressor::finish() {
    if (std::exchange(state_->finished, true)) return;
    state_->encoder->finish(state_->output);
}

}  // namespace shale::codec
