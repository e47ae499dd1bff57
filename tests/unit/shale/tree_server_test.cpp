#include "error_kind.hpp"
#include "tree_server.hpp"

#include <gtest/gtest.h>

namespace shale::cli {
namespace {

TierFacts good() {
    return {.is_root = true, .has_contents = true};
}

TEST(Tiers, WordsOfTheFlag) {
    EXPECT_EQ(TierWish::parse("").kind, TierWish::Kind::Auto);
    EXPECT_EQ(TierWish::parse("auto").kind, TierWish::Kind::Auto);
    EXPECT_EQ(TierWish::parse("fuse").kind, TierWish::Kind::Fuse);
    EXPECT_EQ(TierWish::parse("erofs").kind, TierWish::Kind::Erofs);
    EXPECT_EQ(kind_of([] { TierWish::parse("passthrough"); }), ErrorKind::Unsupported);
    EXPECT_EQ(kind_of([] { TierWish::parse("t3"); }), ErrorKind::Invalid);
}

TEST(Tiers, AutoTakesWhatAnswersAtOnce) {
    for (const TierFacts& facts : {good(), TierFacts{false, true}, TierFacts{true, false}}) {
        EXPECT_EQ(choose_tier({}, facts).tier, Tier::Fuse);
        EXPECT_FALSE(choose_tier({}, facts).why.empty());
    }
}

TEST(Tiers, AWishIsFulfilledOrRefused) {
    const TierWish erofs{TierWish::Kind::Erofs}, fuse{TierWish::Kind::Fuse};
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
