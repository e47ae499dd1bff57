// Chunks: all of the bytes, within bounds, and the same again behind an insertion.
#include <shale/chunker.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace shale::codec {
namespace {

constexpr std::size_t kTargetBytes = 64 << 10, kLeastBytes = 32 << 10, kMostBytes = 128 << 10;

std::string random_bytes(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (char& byte : bytes)
        byte = static_cast<char>(random());
    return bytes;
}

std::vector<std::string> cut(std::string_view bytes, std::size_t step) {
    std::vector<std::string> pieces(1);
    Chunker chunker(kTargetBytes);
    for (std::size_t begin = 0; begin < bytes.size(); begin += step)
        for (std::string_view rest = bytes.substr(begin, step); !rest.empty();) {
            const std::size_t count = chunker.take(as_bytes(rest));
            pieces.back().append(rest.substr(0, count));
            rest.remove_prefix(count);
            if (chunker.is_complete()) pieces.emplace_back();
        }
    if (pieces.back().empty()) pieces.pop_back();
    return pieces;
}

TEST(Chunker, ChunksMakeUpTheWholeHoweverItComes) {
    for (const std::size_t size : {0u, 1u, 16u << 10, 256u << 10, 3u << 20}) {
        const std::string bytes = random_bytes(size, 1);
        const auto pieces = cut(bytes, 1 << 20);
        std::string joined;
        for (const auto& piece : pieces)
            joined += piece;
        EXPECT_EQ(joined, bytes);
        EXPECT_EQ(cut(bytes, 777), pieces);
        for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
            EXPECT_GE(pieces[i].size(), kLeastBytes);
            EXPECT_LE(pieces[i].size(), kMostBytes);
        }
    }
}

TEST(Chunker, MonotonousBytesAreCutAtTheBound) {
    const auto pieces = cut(std::string(1 << 20, 'x'), 1 << 20);
    for (const auto& piece : pieces)
        EXPECT_LE(piece.size(), kMostBytes);
    EXPECT_GE(pieces.size(), 4u);
}

TEST(Chunker, AnInsertionChangesTheChunksAroundIt) {
    const std::string before = random_bytes(8 << 20, 2);
    std::string after = before;
    after.insert(3 << 20, "inserted");
    const auto old_pieces = cut(before, 1 << 20), new_pieces = cut(after, 1 << 20);
    ASSERT_GT(old_pieces.size(), 50u);
    const std::set<std::string> known(old_pieces.begin(), old_pieces.end());
    const auto changed = std::count_if(new_pieces.begin(), new_pieces.end(),
                                       [&](const auto& piece) { return !known.contains(piece); });
    EXPECT_GE(changed, 1);
    EXPECT_LE(changed, 4);
}

}  // namespace
}  // namespace shale::codec
