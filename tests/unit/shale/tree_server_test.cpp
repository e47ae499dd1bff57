#include "../../support/error_kind.hpp"
#include "tree_server.hpp"

#include <gtest/gtest.h>

namespace shale::cli {
namespace {

TierFacts good() {
    return {.is_root = true, .has_contents = true};
}

TEST(Tiers, WordsOfTheFlag) {
    EXPECT_EQ(parse_tier(""), TierWish::Auto);
    EXPECT_EQ(parse_tier("auto"), TierWish::Auto);
    EXPECT_EQ(parse_tier("fuse"), TierWish::Fuse);
    EXPECT_EQ(parse_tier("erofs"), TierWish::Erofs);
    EXPECT_EQ(kind_of([] { parse_tier("passthrough"); }), ErrorKind::Unsupported);
    EXPECT_EQ(kind_of([] { parse_tier("t3"); }), ErrorKind::Invalid);
}

TEST(Tiers, AutoTakesWhatAnswersAtOnce) {
    for (const TierFacts& facts : {good(), TierFacts{false, true}, TierFacts{true, false}}) {
        EXPECT_EQ(choose_tier(TierWish::Auto, facts).tier, Tier::Fuse);
        EXPECT_FALSE(choose_tier(TierWish::Auto, facts).why.empty());
    }
}

TEST(Tiers, AWishIsFulfilledOrRefused) {
    constexpr TierWish erofs = TierWish::Erofs, fuse = TierWish::Fuse;
    auto facts = good();
    EXPECT_EQ(choose_tier(fuse, facts).tier, Tier::Fuse);
    EXPECT_EQ(choose_tier(erofs, facts).tier, Tier::Erofs);
    facts.is_root = false;
    EXPECT_EQ(kind_of([&] { choose_tier(erofs, facts); }), ErrorKind::Unsupported);
    facts = good();
    facts.has_contents = false;
    EXPECT_EQ(kind_of([&] { choose_tier(erofs, facts); }), ErrorKind::Unsupported);
}

}  // namespace
}  // namespace shale::cli
