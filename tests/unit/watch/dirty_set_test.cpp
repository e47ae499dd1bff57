// The set of changes and its moments.
#include "dirty_set.hpp"

#include <gtest/gtest.h>

namespace shale::watch {
namespace {

using Changes = std::vector<Change>;

TEST(DirtySet, NamesWhatChangedAfterAMoment) {
    DirtySet set(10);
    set.add("a", false);
    const auto first = set.next_moment();
    set.add("b", true);
    const auto second = set.next_moment();
    set.add("a", false);
    set.next_moment();
    EXPECT_EQ(set.since(first), (Changes{{"a", false}, {"b", true}}));
    EXPECT_EQ(set.since(second), (Changes{{"a", false}}));
}

TEST(DirtySet, SubtreeCountsOnlyFromItsOwnMoment) {
    DirtySet set(10);
    set.add("d", true);
    const auto moment = set.next_moment();
    set.add("d", false);
    EXPECT_EQ(set.since(moment), (Changes{{"d", false}}));
    EXPECT_EQ(set.since(0), (Changes{{"d", true}}));
}

TEST(DirtySet, ForgettingInvalidatesEveryEarlierMoment) {
    DirtySet set(10);
    const auto before = set.next_moment();
    set.forget("reason");
    EXPECT_FALSE(set.knows_since(before));
    EXPECT_EQ(set.why_not(), "reason");
    const auto after = set.next_moment();
    EXPECT_TRUE(set.knows_since(after));
    set.add("x", false);
    EXPECT_EQ(set.since(after).size(), 1u);
}

TEST(DirtySet, TooManyPathsAreAnOverflow) {
    DirtySet set(3);
    const auto moment = set.next_moment();
    for (const char* path : {"a", "b", "c", "a", "b"})
        set.add(path, false);
    EXPECT_TRUE(set.knows_since(moment));
    set.add("d", false);
    EXPECT_FALSE(set.knows_since(moment));
}

}  // namespace
}  // namespace shale::watch
