// Frames: what a frame declares, that equal input gives equal bytes, and that no damaged frame
// decodes.
#include <shale/codec.hpp>

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

namespace shale::codec {
namespace {

// Half noise, half repetition, so that both the match finder and the literals coder work.
std::string sample(std::size_t bytes, unsigned seed) {
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < bytes) {
        if (random() % 2 == 0 || text.size() < 64) {
            text.push_back(static_cast<char>(random()));
        } else {
            const std::size_t from = random() % (text.size() - 32);
            text.append(text.substr(from, 32));
        }
    }
    text.resize(bytes);
    return text;
}

std::string compress(std::string_view content, int level = kDefaultZstdLevel) {
    std::string out;
    FrameCompressor(level).compress(as_bytes(content), out);
    return out;
}

std::string decompress(std::string_view frame, std::size_t size) {
    std::string out(size, '\0');
    FrameDecompressor().decompress(as_bytes(frame), std::as_writable_bytes(std::span(out)));
    return out;
}

ErrorKind decompress_error(std::string_view frame, std::size_t size) {
    try {
        decompress(frame, size);
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "the frame decoded";
    return ErrorKind::System;
}

TEST(Frame, RoundTripsEverySize) {
    for (const std::size_t size : {0u, 1u, 511u, 512u, 65536u, 1000003u}) {
        const auto content = sample(size, 7);
        EXPECT_EQ(decompress(compress(content), size), content) << size;
    }
}

TEST(Frame, AppendsToWhatIsThere) {
    std::string out = "head";
    FrameCompressor compressor;
    compressor.compress(as_bytes("content"), out);
    EXPECT_EQ(out.substr(0, 4), "head");
    EXPECT_EQ(decompress(std::string_view(out).substr(4), 7), "content");
}

TEST(Frame, DeclaresSizeChecksumAndWindow) {
    // Larger than the largest window permitted, at the level that would choose 128 MiB by itself.
    const std::string content((9u << 20) + 5, 'x');
    for (const int level : {1, 3, 19, ZSTD_maxCLevel()}) {
        const auto frame = compress(content, level);
        EXPECT_EQ(ZSTD_getFrameContentSize(frame.data(), frame.size()), content.size());
        const auto descriptor = static_cast<unsigned char>(frame.at(4));
        EXPECT_TRUE(descriptor & 0x04) << "checksum flag, level " << level;
        const bool single_segment = descriptor & 0x20;
        ASSERT_FALSE(single_segment);
        const unsigned window_log = 10 + (static_cast<unsigned char>(frame.at(5)) >> 3);
        EXPECT_LE(window_log, 23u) << "level " << level;
    }
}

TEST(Frame, BytesDoNotDependOnWhatTheCompressorDidBefore) {
    const auto content = sample(300000, 1);
    const auto fresh = compress(content);
    FrameCompressor used;
    std::string scratch;
    for (unsigned seed = 2; seed < 8; ++seed)
        used.compress(as_bytes(sample(seed * 90001, seed)), scratch);
    std::string again;
    used.compress(as_bytes(content), again);
    EXPECT_EQ(again, fresh);
}

TEST(Frame, RejectsALevelThatDoesNotExist) {
    EXPECT_THROW(FrameCompressor(23), Error);
    EXPECT_THROW(FrameCompressor(INT32_MIN), Error);
}

TEST(Frame, EveryTruncationIsCorrupt) {
    const auto content = sample(2000, 3);
    const auto frame = compress(content);
    for (std::size_t length = 0; length < frame.size(); ++length)
        EXPECT_EQ(decompress_error(std::string_view(frame).substr(0, length), content.size()),
                  ErrorKind::Corrupt)
            << length;
}

TEST(Frame, EveryFlippedByteIsCaught) {
    const auto content = sample(2000, 4);
    const auto frame = compress(content);
    for (std::size_t at = 0; at < frame.size(); ++at) {
        auto damaged = frame;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
        EXPECT_EQ(decompress_error(damaged, content.size()), ErrorKind::Corrupt) << at;
    }
}

TEST(Frame, WrongSizeTrailingBytesAndForeignMagicAreCorrupt) {
    const auto frame = compress("content");
    EXPECT_EQ(decompress_error(frame, 6), ErrorKind::Corrupt);
    EXPECT_EQ(decompress_error(frame, 8), ErrorKind::Corrupt);
    EXPECT_EQ(decompress_error(frame + "x", 7), ErrorKind::Corrupt);
    EXPECT_EQ(decompress_error(frame + frame, 14), ErrorKind::Corrupt);
    std::string skippable;
    append_skippable_frame(as_bytes("note"), skippable);
    EXPECT_EQ(decompress_error(skippable, 0), ErrorKind::Corrupt);
}

TEST(SkippableFrame, HasMagicAndLength) {
    std::string out;
    append_skippable_frame(as_bytes("note"), out);
    EXPECT_EQ(out, std::string("\x50\x2a\x4d\x18\x04\0\0\0note", 12));
}

TEST(Frame, SeveralInARowAreOneText) {
    const std::string first = sample(70'000, 1), second = sample(100, 2);
    const std::string frames = compress(first) + compress(second);
    const auto all = [](std::string_view bytes, std::size_t size) {
        std::string out(size, '\0');
        FrameDecompressor().decompress_all(as_bytes(bytes), std::as_writable_bytes(std::span(out)));
        return out;
    };
    const auto is_corrupt = [&](std::string_view bytes, std::size_t size) {
        try {
            all(bytes, size);
        } catch (const Error& error) {
            return error.kind() == ErrorKind::Corrupt;
        }
        return false;
    };
    const std::size_t size = first.size() + second.size();
    EXPECT_EQ(all(frames, size), first + second);
    EXPECT_EQ(decompress_error(frames, size), ErrorKind::Corrupt) << "where one is expected";
    EXPECT_TRUE(is_corrupt(frames, size - 1));
    EXPECT_TRUE(is_corrupt(frames, size + 1));
    EXPECT_TRUE(is_corrupt(frames + "x", size));
    EXPECT_TRUE(is_corrupt("", size));
    for (std::size_t cut = 1; cut < frames.size(); cut += 997)
        EXPECT_TRUE(is_corrupt(std::string_view(frames).substr(0, cut), size)) << cut;
    std::string skippable;
    append_skippable_frame(as_bytes("nothing"), skippable);
    EXPECT_TRUE(is_corrupt(skippable + frames, size));
}

}  // namespace
}  // namespace shale::codec
