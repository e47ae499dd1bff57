// Hashes against published vectors.
#include <shale/checksum.hpp>
#include <shale/codec.hpp>

#include <gtest/gtest.h>

namespace shale::codec {
namespace {

// FIPS 180-4 examples.
constexpr const char* kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbcSha256 =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kTwoBlockSha256 =
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";

TEST(Sha256, MatchesPublishedVectors) {
    EXPECT_EQ(sha256("").hex(), kEmptySha256);
    EXPECT_EQ(sha256("abc").hex(), kAbcSha256);
    EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex(),
              kTwoBlockSha256);
}

TEST(Sha256, PiecesHashLikeTheWhole) {
    Sha256 hash;
    hash.update(as_bytes("a"));
    hash.update(as_bytes(""));
    hash.update(as_bytes("bc"));
    EXPECT_EQ(hash.finish().hex(), kAbcSha256);
}

TEST(Sha256, StartsAfreshAfterFinish) {
    Sha256 hash;
    hash.update(as_bytes("something else"));
    hash.finish();
    EXPECT_EQ(hash.finish().hex(), kEmptySha256);
    hash.update(as_bytes("abc"));
    EXPECT_EQ(hash.finish().hex(), kAbcSha256);
}

TEST(Sha256, CopyContinuesIndependently) {
    Sha256 first;
    first.update(as_bytes("ab"));
    Sha256 second(first);
    Sha256 third;
    third = first;
    second.update(as_bytes("c"));
    third.update(as_bytes("X"));
    first.update(as_bytes("c"));
    EXPECT_EQ(first.finish().hex(), kAbcSha256);
    EXPECT_EQ(second.finish().hex(), kAbcSha256);
    EXPECT_EQ(third.finish(), sha256("abX"));
}

TEST(Checksum, IsOfWhatPrecedesIt) {
    for (const std::string text : {"", "a", "some bytes and some more"}) {
        std::string bytes = text;
        append_checksum(bytes);
        EXPECT_EQ(bytes.size(), text.size() + kChecksumBytes);
        EXPECT_TRUE(has_checksum(as_bytes(bytes)));
        EXPECT_FALSE(has_checksum(as_bytes(bytes).first(bytes.size() - 1)));
        for (char& byte : bytes) {
            byte = static_cast<char>(byte ^ 1);
            EXPECT_FALSE(has_checksum(as_bytes(bytes)));
            byte = static_cast<char>(byte ^ 1);
        }
    }
    std::string empty;
    append_checksum(empty);
    EXPECT_EQ(to_hex(as_bytes(empty).first(8)), "7f498d4624c30160") << "low half first";
    EXPECT_FALSE(has_checksum({}));
}

TEST(Xxh3, MatchesReferenceValues) {
    // XXH3 of the empty input with seed 0, from xxHash's own sanity checks.
    EXPECT_EQ(xxh3_64({}), 0x2D06800538D394C2ull);
    EXPECT_EQ(xxh3_128({}), (Xxh128{0x6001C324468D497Full, 0x99AA06D3014798D8ull}));
    EXPECT_NE(xxh3_128(as_bytes("a")), xxh3_128(as_bytes("b")));
}

}  // namespace
}  // namespace shale::codec
