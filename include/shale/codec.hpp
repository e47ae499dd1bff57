// codec: bytes in, bytes out. Zstandard frames, gzip, streaming decompression of whatever an
// archive turns out to be, SHA-256 and XXH3. Knows no files and no formats above a byte stream.
//
// Every decoder takes a limit. One object per thread; the free functions are safe from any thread.
// Libraries: libzstd, zlib, OpenSSL libcrypto, xxHash, and libarchive's read filters for bzip2 and
// xz; none of their headers leave src/codec.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace shale::codec {

// ---------------------------------------------------------------------------------------------
// Hashes. SHA-256 names what outlives the build. XXH3-128 answers "same bytes?" inside one
// machine's own observations; it is never a security identity.

class Sha256 {
  public:
    Sha256();
    Sha256(const Sha256&);
    Sha256& operator=(const Sha256&);
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    ~Sha256();
    void update(Bytes bytes);
    // Ends the computation; the object may be used again afterwards, from the empty state.
    Digest finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

Digest sha256(Bytes bytes);
inline Digest sha256(std::string_view text) {
    return sha256(as_bytes(text));
}

struct Xxh128 {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Xxh128&) const = default;
};
Xxh128 xxh3_128(Bytes bytes);
std::uint64_t xxh3_64(Bytes bytes);

// ---------------------------------------------------------------------------------------------
// Zstandard frames. Each compress() call makes one complete, independent frame that declares its
// content size and carries an XXH64 checksum; windowLog <= 23 so that every decoder accepts it.
// Same input, level and library version give the same bytes.

inline constexpr int kDefaultZstdLevel = 3;

class FrameCompressor {
  public:
    explicit FrameCompressor(int level = kDefaultZstdLevel);
    FrameCompressor(FrameCompressor&&) noexcept;
    ~FrameCompressor();
    // Appends the frame to `out`.
    void compress(Bytes content, std::string& out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// About what a compressor of that level works with, for frames of up to so many bytes.
std::uint64_t frame_compressor_bytes(int level, std::uint64_t frame_bytes);

class FrameDecompressor {
  public:
    FrameDecompressor();
    FrameDecompressor(FrameDecompressor&&) noexcept;
    ~FrameDecompressor();
    // Decodes exactly one frame whose content is exactly `out.size()` bytes; Corrupt otherwise.
    void decompress(Bytes frame, MutableBytes out);
    // The same for one or more frames, one right behind another.
    void decompress_all(Bytes frames, MutableBytes out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Skippable frame around `content` (magic 0x184D2A50), appended to `out`. content < 4 GiB.
void append_skippable_frame(Bytes content, std::string& out);
// What stands before a content of so many bytes that follows by itself.
void append_skippable_header(std::size_t content_bytes, std::string& out);

// ---------------------------------------------------------------------------------------------
// Streams.

using Sink = std::function<void(Bytes)>;
// Returns how many bytes it put into the buffer; 0 means end of stream.
using Source = std::function<std::size_t(MutableBytes)>;

enum class StreamFormat { Plain, Gzip, Bzip2, Xz, Zstd };
// By magic number: gzip 1F8B08, bzip2 425A68, xz FD377A585A00, zstd 28B52FFD or a skippable frame.
StreamFormat sniff(Bytes head);

// Decompresses a whole stream, concatenated members and frames included (gzip members, zstd frames,
// skippable frames are skipped). Corrupt on damage or truncation, Invalid past `max_output` bytes.
class StreamDecompressor {
  public:
    StreamDecompressor(StreamFormat format, Source input, std::uint64_t max_output);
    StreamDecompressor(StreamDecompressor&&) noexcept;
    ~StreamDecompressor();
    // Up to out.size() decompressed bytes; 0 at the verified end.
    std::size_t read(MutableBytes out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// One-stream compressors for old registries and archives. gzip writes no name and no time.
class StreamCompressor {
  public:
    StreamCompressor(StreamFormat format, int level, Sink output);  // Plain, Gzip or Zstd
    StreamCompressor(StreamCompressor&&) noexcept;
    ~StreamCompressor();
    void write(Bytes bytes);
    void finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::codec
