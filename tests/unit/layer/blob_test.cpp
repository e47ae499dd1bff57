// Footer, table of contents and frames of a blob under truncation and damage, byte by byte.
#include "trees.hpp"

namespace shale::layer {
namespace {

using namespace testing;

class Blob : public ::testing::Test {
  protected:
    Blob() {
        snapshot::TreeBuilder builder;
        std::string text;
        while (text.size() < 3000)
            text += std::to_string(text.size() * 7919) + ",";
        builder.put("a/file", file_spec(contents_, text));
        builder.put("a/other", file_spec(contents_, "short"));
        builder.put("link", link_spec("a/file"));
        WriteOptions options;
        options.frame_bytes = 1024;
        layer_ = write(snapshot::TreeBuilder().finish(), builder.finish(), contents_, options);
        tar_ = plain_tar(layer_.blob);
    }

    // "foreign", "refused", or the tar that the blob yields.
    std::string outcome(const std::string& blob) {
        MemoryBlobs blobs;
        const Digest name = codec::sha256("the blob");
        blobs.put_as(name, blob);
        try {
            const auto toc = read_toc(blobs, name);
            if (!toc) return "foreign";
            return drain(tar_stream(blobs, name, *toc));
        } catch (const Error& error) {
            EXPECT_TRUE(error.kind() == ErrorKind::Corrupt ||
                        error.kind() == ErrorKind::Unsupported)
                << error.what();
            return "refused";
        }
    }

    Contents contents_;
    Layer layer_;
    std::string tar_;
};

TEST_F(Blob, TocIsFoundFromTheEnd) {
    MemoryBlobs blobs;
    const Digest digest = blobs.put(layer_.blob);
    EXPECT_EQ(digest, layer_.written.blob);
    const auto toc = read_toc(blobs, digest);
    ASSERT_TRUE(toc);
    EXPECT_EQ(encode_toc(*toc), encode_toc(layer_.written.toc));
    EXPECT_EQ(drain(tar_stream(blobs, digest, *toc), 100), tar_);
}

TEST_F(Blob, WithoutOurFooterIsForeign) {
    EXPECT_EQ(outcome(""), "foreign");
    EXPECT_EQ(outcome("short"), "foreign");
    EXPECT_EQ(outcome(std::string(1000, 'x')), "foreign");
    std::string plain;
    codec::FrameCompressor().compress(as_bytes(tar_), plain);
    EXPECT_EQ(outcome(plain), "foreign");
}

TEST_F(Blob, CutShortIsForeignOrRefused) {
    for (std::size_t length = 0; length < layer_.blob.size(); ++length)
        EXPECT_EQ(outcome(layer_.blob.substr(0, length)), "foreign") << length;
    // The end is whole, the beginning is missing: every offset is wrong.
    for (std::size_t cut = 1; cut < layer_.blob.size() - 72; cut += 13)
        EXPECT_EQ(outcome(layer_.blob.substr(cut)), "refused") << cut;
}

TEST_F(Blob, NoFlippedByteYieldsAnotherTar) {
    std::map<std::string, int> outcomes;
    for (std::size_t at = 0; at < layer_.blob.size(); ++at) {
        auto damaged = layer_.blob;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        const auto result = outcome(damaged);
        // Some bits of an encoding mean nothing; damage there may be harmless, never silent.
        EXPECT_TRUE(result == "refused" || result == "foreign" || result == tar_) << at;
        ++outcomes[result];
    }
    EXPECT_GT(outcomes["refused"], 10 * outcomes[tar_]);
    EXPECT_EQ(outcomes["foreign"], 8) << "only damage to the magic makes a blob foreign";
}

TEST_F(Blob, BytesInsertedBeforeTheFooterAreRefused) {
    auto longer = layer_.blob;
    longer.insert(longer.size() - 72, "x");
    EXPECT_EQ(outcome(longer), "refused");
}

TEST_F(Blob, ErrorNamesTheBlob) {
    MemoryBlobs blobs;
    auto damaged = layer_.blob;
    damaged[damaged.size() - 60] ^= 1;
    const Digest digest = blobs.put(damaged);
    try {
        read_toc(blobs, digest);
        FAIL() << "read";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(digest.str()), std::string::npos) << error.what();
    }
}

TEST_F(Blob, FramesHaveTheDigestsThatTheTocStates) {
    const auto& frames = layer_.written.toc.frames;
    ASSERT_GE(frames.size(), 3u);
    for (const Frame& frame : frames)
        EXPECT_EQ(codec::sha256(layer_.blob.substr(frame.blob_offset, frame.blob_bytes)),
                  frame.blob_digest);
}

TEST_F(Blob, TailIsAllThatTheTocNeeds) {
    MemoryBlobs blobs;
    const auto bytes = toc_tail_bytes(blobs, blobs.put(layer_.blob));
    ASSERT_TRUE(bytes);
    std::string blank = layer_.blob;
    std::fill(blank.begin(), blank.end() - static_cast<std::ptrdiff_t>(*bytes), '\0');
    EXPECT_TRUE(read_toc(blobs, blobs.put(blank)));
    blank[blank.size() - *bytes] = '\0';
    EXPECT_THROW(read_toc(blobs, blobs.put(blank)), Error);
    EXPECT_FALSE(toc_tail_bytes(blobs, blobs.put("no layer of ours")));
}

TEST_F(Blob, FrameThatIsNotWhatTheTocSaysIsRefused) {
    // A sound TOC over exchanged frames of different sizes: every checksum is right, yet a frame
    // does not hold as much tar as it should.
    MemoryBlobs blobs;
    Toc toc = layer_.written.toc;
    ASSERT_GE(toc.frames.size(), 3u);
    ASSERT_NE(toc.frames.front().tar_bytes, toc.frames.back().tar_bytes);
    std::swap(toc.frames.front().blob_offset, toc.frames.back().blob_offset);
    std::swap(toc.frames.front().blob_bytes, toc.frames.back().blob_bytes);
    const Digest digest = blobs.put(layer_.blob);
    EXPECT_THROW(drain(tar_stream(blobs, digest, toc)), Error);
}

}  // namespace
}  // namespace shale::layer
