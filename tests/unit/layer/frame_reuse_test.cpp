// Rebuilt layers: which frames are made again, and that the blob is the one a cold build gives.
#include "memory_frames.hpp"
#include "trees.hpp"

#include <map>

namespace shale::layer {
namespace {

using namespace testing;

std::string noise(unsigned seed, std::size_t bytes) {
    std::mt19937_64 random(seed);
    std::string text(bytes, '\0');
    for (char& c : text)
        c = static_cast<char>('a' + random() % 16);
    return text;
}

class FrameReuse : public ::testing::Test {
  protected:
    static constexpr std::uint32_t kTarget = 32 << 10;

    FrameReuse() {
        options_.frame_bytes = kTarget / 2;
        for (int directory = 0; directory < 60; ++directory)
            for (int file = 0; file < 10; ++file)
                files_[name(directory, file)] =
                    file_spec(contents_, noise(100 * directory + file, 2000));
    }
    static std::string name(int directory, int file) {
        return "pkg" + std::to_string(directory) + "/lib/f" + std::to_string(file) + ".js";
    }
    snapshot::Tree tree() const {
        snapshot::TreeBuilder builder;
        for (const auto& [path, spec] : files_)
            builder.put(path, spec);
        return builder.finish();
    }
    Result rewrite() {
        const auto after = tree();
        Result result;
        result.layer =
            rewrite_layer(diff::compare(empty_, after), after, contents_.opener(), options_,
                          &frames_, [&](Bytes bytes) { result.blob.append(as_text(bytes)); });
        return result;
    }
    // The layer of all that was put, with and without the store; both must be the same bytes.
    Result rebuild() {
        const Layer expected = write(empty_, tree(), contents_, options_);
        Result result = rewrite();
        const Written& written = result.layer.written;
        EXPECT_EQ(result.blob, expected.blob);
        EXPECT_EQ(written.blob, expected.written.blob);
        EXPECT_EQ(written.diff_id, expected.written.diff_id);
        EXPECT_EQ(codec::sha256(plain_tar(result.blob)), written.diff_id);
        EXPECT_EQ(encode_toc(written.toc), encode_toc(expected.written.toc));
        return result;
    }

    const snapshot::Tree empty_ = snapshot::TreeBuilder().finish();
    Contents contents_;
    std::map<std::string, snapshot::EntrySpec> files_;
    MemoryFrames frames_;
    WriteOptions options_;
};

TEST_F(FrameReuse, UnchangedLayerCompressesAndOpensNothing) {
    const Result first = rebuild();
    EXPECT_EQ(first.stats().frames_reused, 0u);
    EXPECT_EQ(first.stats().files_opened, 600u);
    EXPECT_EQ(first.stats().bytes_compressed, first.layer.written.toc.tar_bytes);
    EXPECT_GT(first.stats().frames, 20u);
    frames_.put(first);
    const Result again = rebuild();
    EXPECT_EQ(again.stats().frames_reused, first.stats().frames);
    EXPECT_EQ(again.stats().bytes_compressed, 0u);
    EXPECT_EQ(again.stats().files_opened, 0u);
    EXPECT_EQ(again.stats().bytes_skipped, again.layer.written.toc.tar_bytes);
}

TEST_F(FrameReuse, ChangedFileCostsItsFrameAlone) {
    const Result first = rebuild();
    frames_.put(first);
    files_[name(30, 5)] = file_spec(contents_, noise(7, 2100));
    const Result second = rebuild();
    EXPECT_EQ(second.stats().frames, first.stats().frames);
    EXPECT_EQ(second.stats().frames_reused, first.stats().frames - 1);
    EXPECT_LE(second.stats().bytes_compressed, 2u * kTarget);
    // What lies before the change was hashed when the first layer was made.
    EXPECT_GT(second.stats().bytes_skipped, 0u);
    EXPECT_LT(second.stats().bytes_skipped, second.layer.written.toc.tar_bytes);
}

TEST_F(FrameReuse, AddedAndRemovedFilesMoveFewBoundaries) {
    frames_.put(rebuild());
    for (int directory = 10; directory < 14; ++directory) {
        files_.erase(name(directory, 3));
        files_[name(directory, 3) + "x"] = file_spec(contents_, noise(directory, 900));
    }
    const Result second = rebuild();
    // Four neighbouring directories of 20 KB; frames of 16 to 64 KB; two more to fall into step.
    EXPECT_LE(second.stats().frames - second.stats().frames_reused, 8u);
}

TEST_F(FrameReuse, LargeFileIsReusedWithoutBeingOpened) {
    files_["big.bin"] = file_spec(contents_, noise(1, 1'000'000));
    const Result first = rebuild();
    EXPECT_EQ(first.stats().files_opened, 601u);
    frames_.put(first);
    files_["another"] = file_spec(contents_, "x");  // the headers before it change
    const Result second = rebuild();
    EXPECT_LE(second.stats().bytes_compressed, 2u * kTarget);
    EXPECT_LE(second.stats().files_opened, 20u);
}

TEST_F(FrameReuse, InsertionInALargeFileCostsTheChunksItTouches) {
    std::string big = noise(1, 2'000'000);
    files_["big.bin"] = file_spec(contents_, big);
    frames_.put(rebuild());
    big.insert(1'000'000, "inserted");
    files_["big.bin"] = file_spec(contents_, big);
    const Result second = rebuild();
    // One group with the file's header, and chunks of at most 4 frame_bytes each.
    EXPECT_LE(second.stats().bytes_compressed, (2u + 3 * 4) * kTarget);
    EXPECT_GT(second.stats().frames_reused, second.stats().frames - 5);
}

TEST_F(FrameReuse, FrameElsewhereIsReadAndHashed) {
    frames_.put(rebuild());
    frames_.forget_prefixes();
    const Result again = rebuild();
    EXPECT_EQ(again.stats().bytes_compressed, 0u);
    EXPECT_EQ(again.stats().bytes_skipped, 0u);
}

TEST_F(FrameReuse, DamagedFramesAreMadeAgain) {
    files_["big.bin"] = file_spec(contents_, noise(1, 1'000'000));
    frames_.put(rebuild());
    frames_.corrupt();
    const Result again = rebuild();
    EXPECT_EQ(again.stats().frames_reused, 0u);
    EXPECT_EQ(again.stats().bytes_compressed, again.layer.written.toc.tar_bytes);
}

// The chunks before it were taken over without the file; its digest is still checked from its
// beginning.
TEST_F(FrameReuse, DamagedChunkOfALargeFileIsReadFromTheFile) {
    const std::string big = noise(1, 1'000'000);
    files_["big.bin"] = file_spec(contents_, big);
    frames_.put(rebuild());
    frames_.corrupt(400'000, 600'000);
    const Result again = rebuild();
    EXPECT_GT(again.stats().frames_reused, 0u);
    EXPECT_GT(again.stats().bytes_compressed, 0u);
    EXPECT_LT(again.stats().bytes_compressed, 700'000u);

    for (const std::size_t at : {std::size_t{0}, big.size() / 2, big.size() - 1}) {
        std::string changed = big;
        changed[at] ^= 1;
        contents_.change(codec::sha256(big), changed);
        EXPECT_THROW(rewrite(), Error) << at;
    }
}

// Bytes that are what they were when they were stored, and no frame: nobody can tell before they
// are needed.
TEST_F(FrameReuse, WhatWasNoFrameWhenItWasStoredIsToldApart) {
    files_["big.bin"] = file_spec(contents_, noise(1, 1'000'000));
    frames_.put(rebuild());
    frames_.corrupt();
    frames_.vouch_for_all();
    frames_.forget_prefixes();
    EXPECT_THROW(rebuild(), DamagedFrame);
}

TEST_F(FrameReuse, UnreadableStoreIsAsGoodAsNone) {
    frames_.put(rebuild());
    frames_.is_damaged = true;
    EXPECT_EQ(rebuild().stats().frames_reused, 0u);
}

TEST_F(FrameReuse, OtherLevelFindsNothing) {
    frames_.put(rebuild());
    options_.level = 1;
    EXPECT_EQ(rebuild().stats().frames_reused, 0u);
}

TEST(FrameGroups, LawAnyFrameSizeGivesTheSameTar) {
    for (unsigned seed = 0; seed < 10; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true});
        snapshot::TreeBuilder builder;
        generator.fill(builder, 60);
        builder.put("large", file_spec(contents, noise(seed, 70'000 + seed)));
        const auto tree = builder.finish();
        const auto empty = snapshot::TreeBuilder().finish();
        std::optional<Digest> diff_id;
        for (const std::uint32_t frame_bytes : {1u, 300u, 5000u, 1u << 20, 4u << 20}) {
            WriteOptions options;
            options.frame_bytes = frame_bytes;
            const Layer layer = write(empty, tree, contents, options);
            EXPECT_EQ(decode_toc(as_bytes(encode_toc(layer.written.toc))).frames.size(),
                      layer.written.toc.frames.size());
            EXPECT_EQ(diff_id.value_or(layer.written.diff_id), layer.written.diff_id);
            diff_id = layer.written.diff_id;
            EXPECT_EQ(codec::sha256(plain_tar(layer.blob)), *diff_id);
        }
    }
}

}  // namespace
}  // namespace shale::layer
