// Tables of other programs: what is taken from them, and what the kernel would refuse.
#include "subordinate_ids.hpp"

#include <gtest/gtest.h>

namespace shale::sandbox {
namespace {

using Ranges = std::vector<IdRange>;
using Words = std::vector<std::string>;

TEST(SubordinateIds, BelongToANameOrANumber) {
    const std::string_view text = "alice:100000:65536\nbob:165536:65536\n1000:300000:10\n";
    EXPECT_EQ(parse_subordinate_ids(text, "alice", 1000), (Ranges{{100000, 65536}, {300000, 10}}));
    EXPECT_EQ(parse_subordinate_ids(text, "bob", 1), (Ranges{{165536, 65536}}));
    EXPECT_EQ(parse_subordinate_ids(text, "carol", 2), Ranges{});
    EXPECT_EQ(parse_subordinate_ids("alice:5:6", "alice", 1), (Ranges{{5, 6}}));  // no newline
}

TEST(SubordinateIds, NamesMatchAsAWhole) {
    const std::string_view text = "al:1:1\nalice2:2:1\n:3:1\n10:4:1\n";
    EXPECT_EQ(parse_subordinate_ids(text, "alice", 1000), Ranges{});
    EXPECT_EQ(parse_subordinate_ids(text, "", 1000), Ranges{});
}

TEST(SubordinateIds, LinesOfAnotherFormAreSkipped) {
    for (const std::string_view line :
         {"alice", "alice:", "alice:1", "alice:1:", "alice::1", "alice:x:1", "alice:1:x",
          "alice:-1:5", "alice:1:-5", "alice: 1:5", "alice:1:5:", "alice:1:5 ", "alice:1:0",
          "alice:4294967295:1", "alice:4294967290:6", "alice:99999999999999999999:1",
          "alice:1:99999999999999999999", "alice:0x10:5", "# alice:1:5"}) {
        const std::string text = std::string(line) + "\nalice:7:8\n";
        EXPECT_EQ(parse_subordinate_ids(text, "alice", 1000), (Ranges{{7, 8}})) << line;
    }
    EXPECT_EQ(parse_subordinate_ids("alice:4294967290:5", "alice", 1), (Ranges{{4294967290, 5}}));
}

TEST(SubordinateIds, AreBounded) {
    std::string text;
    for (int i = 0; i < 100000; ++i)
        text += "alice:" + std::to_string(100000 + 10 * i) + ":10\n";
    EXPECT_EQ(parse_subordinate_ids(text, "alice", 1000).size(), 100u);
}

TEST(SubordinateIds, OfADirectoryService) {
    EXPECT_EQ(parse_getsubids("0: alice 100000 65536\n1: alice 300000 10\n"),
              (Ranges{{100000, 65536}, {300000, 10}}));
    EXPECT_EQ(parse_getsubids("Error fetching ranges\n"), Ranges{});
    EXPECT_EQ(parse_getsubids("0: alice 1\n0: alice x 1\n: alice 1 1 1\n"), Ranges{});
}

TEST(IdMap, OwnIsZeroAndOthersFollow) {
    EXPECT_EQ(id_map_arguments(1000, {{100000, 65536}, {300000, 10}}),
              (Words{"0", "1000", "1", "1", "100000", "65536", "65537", "300000", "10"}));
    EXPECT_EQ(id_map_arguments(1000, {}), (Words{"0", "1000", "1"}));
}

// The same range by name and by number is an administrator's habit.
TEST(IdMap, NoIdIsMappedTwice) {
    const Words once{"0", "1000", "1", "1", "100000", "10"};
    EXPECT_EQ(id_map_arguments(1000, {{100000, 10}, {100000, 10}}), once);
    EXPECT_EQ(id_map_arguments(1000, {{100000, 10}, {99995, 6}}), once);
    EXPECT_EQ(id_map_arguments(1000, {{100000, 10}, {100009, 1}}), once);
    EXPECT_EQ(id_map_arguments(1000, {{990, 20}, {100000, 10}}), once);
    EXPECT_EQ(id_map_arguments(1000, {{100000, 10}, {100010, 1}}).size(), 9u);
}

TEST(IdMap, EndsWithTheLastId) {
    const Words all = id_map_arguments(0, {{1, 4294967294u}, {1, 1}});
    EXPECT_EQ(all, (Words{"0", "0", "1", "1", "1", "4294967294"}));
    EXPECT_EQ(id_map_arguments(4294967294u, {{0, 4294967294u}, {4294967294u, 1}}).size(), 6u);
}

}  // namespace
}  // namespace shale::sandbox
