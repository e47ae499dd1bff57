#include "table.hpp"

#include <gtest/gtest.h>

namespace shale::cli {
namespace {

TEST(Table, AlignsColumnsByWidth) {
    Table table({"NAME", "SIZE"});
    table.add({"漢字", "1"});
    table.add({"a", ""});
    table.add({"a much longer name"});
    EXPECT_EQ(table.str(), "NAME                 SIZE\n"
                           "漢字                 1\n"
                           "a\n"
                           "a much longer name\n");
}

TEST(Table, MakesCellsPrintable) {
    Table table({"NAME"});
    table.add({"evil\x1b[2J\nname"});
    EXPECT_EQ(table.str(), "NAME\nevil name\n");
}

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(FormatAge, SaysItAsDockerDoes) {
    const std::int64_t now = 1'700'000'000 * kSecond;
    EXPECT_EQ(format_age(now, now), "just now");
    EXPECT_EQ(format_age(now, now - 59 * kSecond), "59 seconds ago");
    EXPECT_EQ(format_age(now, now - 60 * kSecond), "1 minute ago");
    EXPECT_EQ(format_age(now, now - 7200 * kSecond), "2 hours ago");
    EXPECT_EQ(format_age(now, now - 8 * 86400 * kSecond), "1 week ago");
    EXPECT_EQ(format_age(now, now + 10 * kSecond), "in the future");
}

TEST(FormatAge, StandsTimesAtTheEdges) {
    EXPECT_EQ(format_age(INT64_MAX, INT64_MIN), "584 years ago");
    EXPECT_EQ(format_age(INT64_MIN, INT64_MAX), "in the future");
}

}  // namespace
}  // namespace shale::cli
