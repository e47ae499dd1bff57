// Streaming decompression: one small decoder per format behind one loop that enforces the output
// limit.
//
// A decoder must tell three ends of input apart: after a complete member (the end of the stream),
// inside one (truncation, Corrupt), and before bytes that belong to no member (trailing garbage,
// Corrupt). The one tolerated exception is zero padding after a gzip member, which tape-minded
// tools append and gzip(1) ignores.
#include "libarchive.hpp"
#include "zstd_level.hpp"

#include <shale/codec.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>

namespace shale::codec {

namespace {

constexpr std::size_t kInputBytes = 128 << 10;
constexpr int kGzipWindowBits = 15 + 16;
// 128 MiB of window, as the zstd program accepts by default; skopeo writes 32 MiB windows.
constexpr int kMaxDecoderWindowLog = 27;

class Decoder {
  public:
    virtual ~Decoder() = default;
    // 0 only at the verified end of the stream. `out` is never empty.
    virtual std::size_t read(MutableBytes out) = 0;
};

// The compressed bytes at hand. `offset` of the first of them makes error messages useful.
class Input {
  public:
    explicit Input(Source source) : source_(std::move(source)) {}

    Bytes available() const { return Bytes(buffer_).subspan(begin_, end_ - begin_); }
    void consume(std::size_t count) { begin_ += count; }
    // False at the end of input. Only when nothing is available.
    bool refill() {
        SHALE_ENSURE(begin_ == end_);
        base_ += end_;
        begin_ = end_ = 0;
        end_ = source_(buffer_);
        SHALE_ENSURE(end_ <= buffer_.size());
        return end_ > 0;
    }
    [[noreturn]] void corrupt(std::string_view format, std::string_view why) const {
        fail(ErrorKind::Corrupt,
             fmt::format("{} stream: {} at compressed offset {}", format, why, base_ + begin_));
    }

  private:
    Source source_;
    std::array<std::byte, kInputBytes> buffer_;
    std::size_t begin_ = 0, end_ = 0;
    std::uint64_t base_ = 0;
};

class PlainDecoder final : public Decoder {
  public:
    explicit PlainDecoder(Source source) : source_(std::move(source)) {}
    std::size_t read(MutableBytes out) override { return source_(out); }

  private:
    Source source_;
};

class GzipDecoder final : public Decoder {
  public:
    explicit GzipDecoder(Source source) : input_(std::move(source)) {
        if (inflateInit2(&stream_, kGzipWindowBits) != Z_OK) throw std::bad_alloc();
    }
    ~GzipDecoder() override { inflateEnd(&stream_); }
    GzipDecoder(const GzipDecoder&) = delete;
    GzipDecoder& operator=(const GzipDecoder&) = delete;

    std::size_t read(MutableBytes out) override {
        out = out.first(std::min<std::size_t>(out.size(), 1 << 30));  // avail_out has 32 bits
        while (true) {
            if (input_.available().empty() && !input_.refill()) {
                if (between_members_ && members_ > 0) return 0;
                input_.corrupt("gzip", "truncated");
            }
            if (between_members_ && members_ > 0 && skip_padding()) continue;
            between_members_ = false;
            if (const std::size_t made = inflate_some(out); made > 0) return made;
        }
    }

  private:
    // After a member: true if zero bytes were skipped, and from then on nothing else may follow.
    bool skip_padding() {
        const Bytes bytes = input_.available();
        const auto rest =
            std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
        const auto zeros = static_cast<std::size_t>(rest - bytes.begin());
        if (zeros == 0 && !in_padding_) return false;
        if (zeros < bytes.size()) {
            input_.consume(zeros);
            input_.corrupt("gzip", "garbage after the zero padding");
        }
        in_padding_ = true;
        input_.consume(zeros);
        return true;
    }

    std::size_t inflate_some(MutableBytes out) {
        const Bytes bytes = input_.available();
        stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
        stream_.avail_in = static_cast<uInt>(bytes.size());
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        const int status = inflate(&stream_, Z_NO_FLUSH);
        input_.consume(bytes.size() - stream_.avail_in);
        if (status == Z_STREAM_END) {
            ++members_;
            between_members_ = true;
            inflateReset(&stream_);
        } else if (status == Z_MEM_ERROR) {
            throw std::bad_alloc();
        } else if (status != Z_OK && status != Z_BUF_ERROR) {
            input_.corrupt("gzip", stream_.msg != nullptr ? stream_.msg : "preset dictionary");
        }
        return out.size() - stream_.avail_out;
    }

    Input input_;
    z_stream stream_{};
    std::uint64_t members_ = 0;
    bool between_members_ = true, in_padding_ = false;
};

class ZstdDecoder final : public Decoder {
  public:
    explicit ZstdDecoder(Source source) : input_(std::move(source)) {
        if (!context_) throw std::bad_alloc();
        ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxDecoderWindowLog);
    }

    std::size_t read(MutableBytes out) override {
        while (true) {
            if (!output_pending_ && input_.available().empty() && !input_.refill()) {
                if (frames_ > 0 && between_frames_) return 0;
                input_.corrupt("zstd", "truncated");
            }
            if (const std::size_t made = decompress_some(out); made > 0) return made;
        }
    }

  private:
    std::size_t decompress_some(MutableBytes out) {
        const Bytes bytes = input_.available();
        ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t hint = ZSTD_decompressStream(context_.get(), &to, &from);
        input_.consume(from.pos);
        if (ZSTD_isError(hint)) input_.corrupt("zstd", ZSTD_getErrorName(hint));
        between_frames_ = hint == 0;
        if (between_frames_) ++frames_;
        // The decoder may hold more output than `out` took, with no input left to drive it.
        output_pending_ = !between_frames_ && to.pos == to.size;
        return to.pos;
    }

    Input input_;
    std::unique_ptr<ZSTD_DCtx, FreeZstd> context_{ZSTD_createDCtx()};
    std::uint64_t frames_ = 0;
    bool between_frames_ = true, output_pending_ = false;
};

// bzip2 and xz through libarchive's filters over its "raw" format: a single nameless member.
class ArchiveDecoder final : public Decoder {
  public:
    ArchiveDecoder(Source source, int filter, const char* format)
        : source_(std::move(source)), format_(format) {
        if (!archive_) throw std::bad_alloc();
        // Appended, not offered: libarchive would otherwise peel a bzip2 file inside a bzip2 file.
        check(libarchive().read_append_filter(archive_.get(), filter));
        check(libarchive().read_support_format_raw(archive_.get()));
        check(libarchive().read_support_format_empty(archive_.get()));
    }

    std::size_t read(MutableBytes out) override {
        if (!opened_) open();
        const la_ssize_t made =
            empty_ ? 0 : libarchive().read_data(archive_.get(), out.data(), out.size());
        if (made < 0) raise();
        if (made == 0) check_consumed();
        return static_cast<std::size_t>(made);
    }

  private:
    struct Free {
        void operator()(archive* reader) const { libarchive().read_free(reader); }
    };

    void open() {
        opened_ = true;
        check(
            libarchive().read_open(archive_.get(), this, nullptr, &ArchiveDecoder::pull, nullptr));
        // A filter that fails before its first byte looks to the "empty" format like an empty
        // stream; only the recorded error, which the next call clears, tells them apart.
        if (libarchive().error_number(archive_.get()) != 0) raise();
        archive_entry* entry = nullptr;
        const int status = libarchive().read_next_header(archive_.get(), &entry);
        empty_ = status == ARCHIVE_EOF;
        if (!empty_) check(status);
    }

    static la_ssize_t pull(archive* reader, void* self_pointer, const void** bytes) noexcept {
        auto& self = *static_cast<ArchiveDecoder*>(self_pointer);
        try {
            *bytes = self.buffer_.data();
            const std::size_t count = self.source_(self.buffer_);
            self.pulled_ += count;
            return static_cast<la_ssize_t>(count);
        } catch (...) {  // C frames lie between here and our caller; raise() rethrows
            self.source_error_ = std::current_exception();
            libarchive().set_error(reader, EIO, "reading the compressed bytes failed");
            return ARCHIVE_FATAL;
        }
    }

    // libarchive ends a bzip2 stream quietly before anything that is too short to be a member.
    void check_consumed() {
        const auto consumed =
            static_cast<std::uint64_t>(libarchive().filter_bytes(archive_.get(), -1));
        if (consumed == 0 || consumed != pulled_)
            fail(ErrorKind::Corrupt, fmt::format("{} stream: truncated, or garbage follows, at "
                                                 "compressed offset {}",
                                                 format_, consumed));
    }

    void check(int status) {
        if (status != ARCHIVE_OK) raise();
    }
    [[noreturn]] void raise() {
        if (source_error_) std::rethrow_exception(source_error_);
        const char* why = libarchive().error_string(archive_.get());
        fail(ErrorKind::Corrupt,
             fmt::format("{} stream: {}", format_, why != nullptr ? why : "damaged"));
    }

    Source source_;
    const char* format_;
    std::array<std::byte, kInputBytes> buffer_;
    std::exception_ptr source_error_;
    std::unique_ptr<archive, Free> archive_{libarchive().read_new()};
    std::uint64_t pulled_ = 0;
    bool opened_ = false, empty_ = false;
};

std::unique_ptr<Decoder> make_decoder(StreamFormat format, Source input) {
    switch (format) {
    case StreamFormat::Gzip:
        return std::make_unique<GzipDecoder>(std::move(input));
    case StreamFormat::Zstd:
        return std::make_unique<ZstdDecoder>(std::move(input));
    case StreamFormat::Bzip2:
        return std::make_unique<ArchiveDecoder>(std::move(input), ARCHIVE_FILTER_BZIP2, "bzip2");
    case StreamFormat::Xz:
        return std::make_unique<ArchiveDecoder>(std::move(input), ARCHIVE_FILTER_XZ, "xz");
    case StreamFormat::Plain:
        break;
    }
    return std::make_unique<PlainDecoder>(std::move(input));
}

}  // namespace

StreamFormat sniff(Bytes head) {
    using namespace std::string_view_literals;
    const std::string_view text = as_text(head);
    if (text.starts_with("\x1f\x8b\x08"sv)) return StreamFormat::Gzip;
    if (text.starts_with("BZh"sv)) return StreamFormat::Bzip2;
    if (text.starts_with("\xfd"
                         "7zXZ\0"sv))
        return StreamFormat::Xz;
    if (text.starts_with("\x28\xb5\x2f\xfd"sv)) return StreamFormat::Zstd;
    // Skippable frames: the sixteen magic numbers 0x184D2A50..0x184D2A5F, little-endian.
    if (text.size() >= 4 && (text[0] & '\xf0') == '\x50' && text.substr(1, 3) == "\x2a\x4d\x18"sv)
        return StreamFormat::Zstd;
    return StreamFormat::Plain;
}

struct StreamDecompressor::State {
    std::unique_ptr<Decoder> decoder;
    std::uint64_t limit = 0;
    std::uint64_t left = 0;
};

StreamDecompressor::StreamDecompressor(StreamFormat format, Source input, std::uint64_t max_output)
    : state_(std::make_unique<State>()) {
    state_->decoder = make_decoder(format, std::move(input));
    state_->limit = state_->left = max_output;
}

StreamDecompressor::StreamDecompressor(StreamDecompressor&&) noexcept = default;
StreamDecompressor::~StreamDecompressor() = default;

std::size_t StreamDecompressor::read(MutableBytes out) {
    if (out.empty()) return 0;
    if (state_->left == 0) {
        // At the limit: the stream must end here, which also makes the decoder verify its trailer.
        std::byte extra;
        if (state_->decoder->read({&extra, 1}) == 0) return 0;
        fail(ErrorKind::Invalid,
             fmt::format("the stream decompresses to more than {} bytes", state_->limit));
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), state_->left));
    const std::size_t made = state_->decoder->read(out.first(wanted));
    state_->left -= made;
    return made;
}

}  // namespace shale::codec
