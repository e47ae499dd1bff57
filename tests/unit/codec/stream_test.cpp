// Streams: every format against streams made elsewhere (zlib, libzstd, and the bzip2 and xz
// programs' output kept below as bytes), whole, in pieces, cut short and damaged.
#include <shale/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace shale::codec {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kNoLimit = UINT64_MAX;

// Serves `text` at most `piece` bytes at a time.
Source source_of(std::string text, std::size_t piece = SIZE_MAX) {
    return [text = std::move(text), piece, at = std::size_t{0}](MutableBytes out) mutable {
        const std::size_t count = std::min({out.size(), piece, text.size() - at});
        std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
        at += count;
        return count;
    };
}

std::string read_all(StreamFormat format, std::string text, std::size_t piece = SIZE_MAX,
                     std::uint64_t limit = kNoLimit, std::size_t step = 10007) {
    StreamDecompressor stream(format, source_of(std::move(text), piece), limit);
    std::string out, buffer(step, '\0');
    while (const std::size_t made = stream.read(std::as_writable_bytes(std::span(buffer))))
        out.append(buffer, 0, made);
    return out;
}

ErrorKind read_error(StreamFormat format, std::string text, std::uint64_t limit = kNoLimit) {
    try {
        read_all(format, std::move(text), SIZE_MAX, limit);
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "the stream decoded";
    return ErrorKind::System;
}

std::string compress(StreamFormat format, std::string_view content, int level = 3) {
    std::string out;
    StreamCompressor stream(format, level, [&](Bytes bytes) { out.append(as_text(bytes)); });
    for (; !content.empty(); content.remove_prefix(std::min<std::size_t>(content.size(), 70001)))
        stream.write(as_bytes(content.substr(0, 70001)));
    stream.finish();
    return out;
}

std::string sample(std::size_t bytes) {
    std::mt19937 random(11);
    std::string text;
    while (text.size() < bytes)
        text.append(std::to_string(random() % 1000)).push_back(' ');
    text.resize(bytes);
    return text;
}

// printf 'hello, stream\n' | bzip2 -9, xz -6 --check=crc64
constexpr auto kBzip2 =
    "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x5f\x8b\xfc\xfc\x00\x00\x03\x51\x80\x00"
    "\x10\x40\x04\x22\x46\x9c\x00\x20\x00\x22\x00\x32\x04\x0d\x03\x43\x20\x59\x17\x04"
    "\xb7\x6f\x78\xbb\x92\x29\xc2\x84\x82\xfc\x5f\xe7\xe0"sv;
constexpr auto kXz =
    "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00"
    "\x74\x2f\xe5\xa3\x01\x00\x0d\x68\x65\x6c\x6c\x6f\x2c\x20\x73\x74\x72\x65\x61\x6d"
    "\x0a\x00\x00\x00\x67\x65\xd8\x9c\xfe\xad\x9b\xd1\x00\x01\x26\x0e\x08\x1b\xe0\x04"
    "\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a"sv;
constexpr auto kEmptyBzip2 = "\x42\x5a\x68\x39\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"sv;
constexpr auto kEmptyXz =
    "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x00\x00\x00\x00\x1c\xdf\x44\x21"
    "\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a"sv;
constexpr auto kHello = "hello, stream\n"sv;

struct Made {
    const char* name;
    StreamFormat format;
    std::string bytes, content;
};

std::vector<Made> all_formats() {
    const auto content = sample(500000);
    return {{"gzip", StreamFormat::Gzip, compress(StreamFormat::Gzip, content), content},
            {"zstd", StreamFormat::Zstd, compress(StreamFormat::Zstd, content), content},
            {"bzip2", StreamFormat::Bzip2, std::string(kBzip2), std::string(kHello)},
            {"xz", StreamFormat::Xz, std::string(kXz), std::string(kHello)}};
}

TEST(Stream, SniffsByMagic) {
    for (const auto& made : all_formats())
        EXPECT_EQ(sniff(as_bytes(made.bytes)), made.format);
    EXPECT_EQ(sniff(as_bytes("\x50\x2a\x4d\x18"sv)), StreamFormat::Zstd);
    EXPECT_EQ(sniff(as_bytes("\x5f\x2a\x4d\x18"sv)), StreamFormat::Zstd);
    EXPECT_EQ(sniff(as_bytes("\x60\x2a\x4d\x18"sv)), StreamFormat::Plain);
    EXPECT_EQ(sniff({}), StreamFormat::Plain);
    EXPECT_EQ(sniff(as_bytes("\x1f\x8b"sv)), StreamFormat::Plain);
}

TEST(Stream, DecodesWholeAndInPieces) {
    for (const auto& made : all_formats()) {
        EXPECT_TRUE(read_all(made.format, made.bytes) == made.content) << made.name;
        EXPECT_TRUE(read_all(made.format, made.bytes, 1) == made.content) << made.name;
        EXPECT_TRUE(read_all(made.format, made.bytes, 333, kNoLimit, 1) == made.content)
            << made.name;
    }
}

TEST(Stream, DecodesConcatenatedMembers) {
    for (const auto& made : all_formats())
        for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}, SIZE_MAX})
            EXPECT_TRUE(read_all(made.format, made.bytes + made.bytes, piece) ==
                        made.content + made.content)
                << made.name << " in pieces of " << piece;
}

TEST(Stream, DecodesEmptyContent) {
    for (const auto format : {StreamFormat::Gzip, StreamFormat::Zstd, StreamFormat::Plain})
        EXPECT_EQ(read_all(format, compress(format, "")), "");
    EXPECT_EQ(read_all(StreamFormat::Gzip,
                       compress(StreamFormat::Gzip, "") + compress(StreamFormat::Gzip, "x")),
              "x");
    EXPECT_EQ(read_all(StreamFormat::Bzip2, std::string(kEmptyBzip2)), "");
    EXPECT_EQ(read_all(StreamFormat::Xz, std::string(kEmptyXz)), "");
}

TEST(Stream, EveryTruncationIsCorrupt) {
    const auto content = sample(3000);
    for (const auto format : {StreamFormat::Gzip, StreamFormat::Zstd}) {
        const auto bytes = compress(format, content);
        for (std::size_t length = 0; length < bytes.size(); ++length)
            EXPECT_EQ(read_error(format, bytes.substr(0, length)), ErrorKind::Corrupt) << length;
    }
    for (std::size_t length = 1; length < kXz.size(); ++length)
        EXPECT_EQ(read_error(StreamFormat::Xz, std::string(kXz.substr(0, length))),
                  ErrorKind::Corrupt);
    for (std::size_t length = 1; length < kBzip2.size(); ++length)
        EXPECT_EQ(read_error(StreamFormat::Bzip2, std::string(kBzip2.substr(0, length))),
                  ErrorKind::Corrupt);
}

TEST(Stream, TruncatedSecondMemberIsCorrupt) {
    for (const auto& made : all_formats())
        EXPECT_EQ(read_error(made.format, made.bytes + made.bytes.substr(0, made.bytes.size() - 3)),
                  ErrorKind::Corrupt)
            << made.name;
}

TEST(Stream, DamagedChecksumIsCorrupt) {
    for (auto made : all_formats()) {
        auto& byte = made.bytes[made.bytes.size() - (made.format == StreamFormat::Xz ? 3 : 6)];
        if (made.format == StreamFormat::Zstd) made.bytes.back() ^= 1;
        byte = static_cast<char>(byte ^ 1);
        EXPECT_EQ(read_error(made.format, made.bytes), ErrorKind::Corrupt) << made.name;
    }
}

TEST(Stream, ZstdSkipsSkippableFramesAnywhere) {
    std::string note;
    append_skippable_frame(as_bytes("some note"), note);
    const auto frame = compress(StreamFormat::Zstd, "body");
    for (const std::size_t piece : {std::size_t{1}, SIZE_MAX})
        EXPECT_EQ(read_all(StreamFormat::Zstd, note + frame + note + frame + note, piece),
                  "bodybody");
    EXPECT_EQ(read_error(StreamFormat::Zstd, frame + note.substr(0, note.size() - 1)),
              ErrorKind::Corrupt);
}

TEST(Stream, GzipToleratesZeroPaddingAndNothingElse) {
    const auto member = compress(StreamFormat::Gzip, "body");
    EXPECT_EQ(read_all(StreamFormat::Gzip, member + std::string(1, '\0')), "body");
    EXPECT_EQ(read_all(StreamFormat::Gzip, member + std::string(300000, '\0'), 1000), "body");
    EXPECT_EQ(read_error(StreamFormat::Gzip, member + "garbage"), ErrorKind::Corrupt);
    EXPECT_EQ(read_error(StreamFormat::Gzip, member + std::string(512, '\0') + "x"),
              ErrorKind::Corrupt);
    EXPECT_EQ(read_error(StreamFormat::Gzip, member + std::string(512, '\0') + member),
              ErrorKind::Corrupt);
    EXPECT_EQ(read_error(StreamFormat::Zstd,
                         compress(StreamFormat::Zstd, "body") + std::string(512, '\0')),
              ErrorKind::Corrupt);
}

TEST(Stream, LimitIsExact) {
    for (const auto& made : all_formats()) {
        EXPECT_TRUE(read_all(made.format, made.bytes, SIZE_MAX, made.content.size()) ==
                    made.content)
            << made.name;
        EXPECT_EQ(read_error(made.format, made.bytes, made.content.size() - 1), ErrorKind::Invalid)
            << made.name;
    }
    EXPECT_EQ(read_all(StreamFormat::Plain, "four", SIZE_MAX, 4), "four");
    EXPECT_EQ(read_error(StreamFormat::Plain, "fours", 4), ErrorKind::Invalid);
}

// A bomb is stopped at the limit, not after it was expanded.
TEST(Stream, LimitStopsABomb) {
    const auto bomb = compress(StreamFormat::Gzip, std::string(64u << 20, '\0'), 9);
    ASSERT_LT(bomb.size(), 100000u);
    EXPECT_EQ(read_error(StreamFormat::Gzip, bomb, 1 << 20), ErrorKind::Invalid);
}

TEST(Stream, ErrorsOfTheSourcePassThrough) {
    for (const auto format : {StreamFormat::Plain, StreamFormat::Gzip, StreamFormat::Bzip2,
                              StreamFormat::Xz, StreamFormat::Zstd}) {
        StreamDecompressor stream(
            format, [](MutableBytes) -> std::size_t { fail(ErrorKind::Network, "peer went away"); },
            kNoLimit);
        std::byte one;
        try {
            stream.read({&one, 1});
            ADD_FAILURE() << "read succeeded";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Network);
        }
    }
}

TEST(StreamCompressor, GzipHeaderCarriesNoNameAndNoTime) {
    const auto bytes = compress(StreamFormat::Gzip, "body");
    EXPECT_EQ(bytes.substr(0, 8), "\x1f\x8b\x08\0\0\0\0\0"sv);
}

TEST(StreamCompressor, OutputDoesNotDependOnThePiecesWritten) {
    const auto content = sample(400000);
    for (const auto format : {StreamFormat::Gzip, StreamFormat::Zstd}) {
        std::string out;
        StreamCompressor stream(format, 3, [&](Bytes bytes) { out.append(as_text(bytes)); });
        for (const char c : content)
            stream.write(as_bytes({&c, 1}));
        stream.finish();
        EXPECT_TRUE(read_all(format, out) == content);
        EXPECT_TRUE(out == compress(format, content));
    }
}

// Blocks are compressed on several threads and put together again.
TEST(StreamCompressor, GzipOfEveryNumberOfBlocksIsOneValidMember) {
    constexpr std::size_t kBlock = 512 << 10;
    for (const std::size_t size :
         {std::size_t{0}, kBlock - 1, kBlock, kBlock + 1, 9 * kBlock + 7}) {
        const auto content = sample(size);
        const auto packed = compress(StreamFormat::Gzip, content);
        EXPECT_TRUE(read_all(StreamFormat::Gzip, packed) == content) << size;
        EXPECT_TRUE(compress(StreamFormat::Gzip, content) == packed) << size;
        EXPECT_EQ(packed.find("\x1f\x8b\x08", 1), std::string::npos) << "a second member";
    }
}

TEST(StreamCompressor, GzipThatIsAbandonedEndsItsThreads) {
    const auto content = sample(3'000'000);
    StreamCompressor stream(StreamFormat::Gzip, 9, [](Bytes) {});
    stream.write(as_bytes(content));
}

TEST(StreamCompressor, RejectsWhatItCannotWrite) {
    EXPECT_THROW(StreamCompressor(StreamFormat::Xz, 3, [](Bytes) {}), Error);
    EXPECT_THROW(StreamCompressor(StreamFormat::Gzip, 77, [](Bytes) {}), Error);
    EXPECT_THROW(StreamCompressor(StreamFormat::Zstd, 77, [](Bytes) {}), Error);
}

}  // namespace
}  // namespace shale::codec
