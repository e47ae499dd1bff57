// Tables of places: every content is found where it was put, nothing else is, and a file of one is
// whole or not a table.
#include "layers.hpp"

namespace shale::layer {
namespace {

using namespace testing;

constexpr std::uint64_t kFrameBytes = 1 << 20;

FrameTable frames_of(std::uint64_t count) {
    FrameTable table;
    for (std::uint64_t i = 0; i < count; ++i)
        table.frames.push_back({i * 1000, 1000, i * kFrameBytes, kFrameBytes});
    table.tar_bytes = count * kFrameBytes;
    return table;
}

Digest numbered(std::uint64_t number) {
    return codec::sha256(std::to_string(number));
}

ContentTable::Content content(std::uint64_t number) {
    return {numbered(number), {number * 512, number + 1}};
}

Mapping mapped(const TempDir& directory, Bytes bytes) {
    const std::string path = directory.path() + "/table";
    write_file_atomic(path, bytes);
    return Mapping(path);
}

void expect_all(const ContentTable& table, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto range = table.find(numbered(i));
        ASSERT_TRUE(range) << i << " of " << count;
        ASSERT_EQ(range->tar_offset, i * 512);
        ASSERT_EQ(range->size, i + 1);
        ASSERT_FALSE(table.find(numbered(i + 1'000'000))) << i << " of " << count;
    }
}

TEST(ContentTable, FindsWhatItHoldsAndNothingElse) {
    const TempDir directory;
    for (const std::uint64_t count : {0, 1, 2, 3, 10, 100, 3000}) {
        std::vector<ContentTable::Content> contents;
        for (std::uint64_t i = 0; i < count; ++i)
            contents.push_back(content(i));
        const ContentTable table(frames_of(4), contents);
        EXPECT_EQ(table.size(), count);
        expect_all(table, count);
        const ContentTable again(mapped(directory, table.bytes()));
        EXPECT_EQ(again.size(), count);
        expect_all(again, count);
        ASSERT_EQ(again.frames().frames.size(), 4u);
        EXPECT_EQ(again.frames().frames[3].tar_offset, 3 * kFrameBytes);
        EXPECT_EQ(again.frames().tar_bytes, 4 * kFrameBytes);
    }
}

// Digests of files that somebody chose to begin alike.
TEST(ContentTable, CrowdedDigestsAreFoundToo) {
    std::vector<ContentTable::Content> contents;
    for (std::uint64_t i = 0; i < 500; ++i) {
        Digest digest;
        digest.bytes[31] = static_cast<std::uint8_t>(i);
        digest.bytes[30] = static_cast<std::uint8_t>(i >> 8);
        digest.bytes[0] = i % 5 == 0 ? 0xff : 0;
        contents.push_back({digest, {i, 1}});
    }
    const ContentTable table(frames_of(1), contents);
    for (const auto& each : contents)
        EXPECT_EQ(table.find(each.digest).value().tar_offset, each.range.tar_offset);
}

TEST(ContentTable, TheFirstOfEqualContentsCounts) {
    const ContentTable table(frames_of(1), {content(7), {numbered(7), {99, 8}}, content(8)});
    EXPECT_EQ(table.size(), 2u);
    EXPECT_EQ(table.find(numbered(7))->tar_offset, 7u * 512);
}

TEST(ContentTable, ForeignPiecesKeepTheirDigests) {
    const TempDir directory;
    FrameTable frames = frames_of(2);
    frames.coding = FrameCoding::GzipPieces;
    frames.frames[1].skip = 77;
    frames.frame_digests = {numbered(1), numbered(2)};
    frames.tar_bytes = 0;
    const ContentTable again(mapped(directory, ContentTable(frames, {content(3)}).bytes()));
    EXPECT_EQ(again.frames().coding, FrameCoding::GzipPieces);
    EXPECT_EQ(again.frames().frames[1].skip, 77u);
    EXPECT_EQ(again.frames().frame_digests, frames.frame_digests);
}

TEST(ContentTable, EveryDamageIsFoundOut) {
    const TempDir directory;
    const ContentTable table(frames_of(2), {content(1), content(2), content(3)});
    const std::string good(as_text(table.bytes()));
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x04);
        EXPECT_THROW(ContentTable(mapped(directory, as_bytes(bad))), Error) << "byte " << at;
    }
    for (std::size_t size = 0; size < good.size(); size += 5)
        EXPECT_THROW(ContentTable(mapped(directory, as_bytes(good.substr(0, size)))), Error);
    EXPECT_THROW(ContentTable(mapped(directory, as_bytes(good + "x"))), Error);
}

TEST(ContentTable, AContentOutsideOfTheFramesIsCorrupt) {
    const ContentTable table(
        frames_of(1), {{numbered(1), {kFrameBytes - 4, 8}}, {numbered(2), {kFrameBytes - 8, 8}}});
    EXPECT_THROW(table.find(numbered(1)), Error);
    EXPECT_TRUE(table.find(numbered(2)));
}

}  // namespace
}  // namespace shale::layer
