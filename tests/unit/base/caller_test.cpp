// IDs seen from outside, by tables as the kernel prints them.
#include <shale/caller.hpp>

#include <gtest/gtest.h>

namespace shale {
namespace {

constexpr std::string_view kAll = "         0          0 4294967295\n";
constexpr std::string_view kTwo = "         0       1001          1\n"
                                  "         1     100000      65535\n";

TEST(OuterId, IsTheSameWhereAllAre) {
    EXPECT_EQ(outer_id(kAll, 0), 0u);
    EXPECT_EQ(outer_id(kAll, 1234), 1234u);
    EXPECT_EQ(outer_id(kAll, 0xffffffff), std::nullopt);
}

TEST(OuterId, IsLookedUpInEveryLine) {
    EXPECT_EQ(outer_id(kTwo, 0), 1001u);
    EXPECT_EQ(outer_id(kTwo, 1), 100000u);
    EXPECT_EQ(outer_id(kTwo, 65535), 165534u);
    EXPECT_EQ(outer_id(kTwo, 65536), std::nullopt);
}

TEST(OuterId, OfATableThatSaysNothing) {
    EXPECT_EQ(outer_id("", 0), std::nullopt);
    EXPECT_EQ(outer_id("0 x 1\n0\n\n", 0), std::nullopt);
}

}  // namespace
}  // namespace shale
