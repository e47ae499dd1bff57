// Tree::resolve: the cases that a random tree rarely hits.
#include <shale/snapshot.hpp>

#include <gtest/gtest.h>

namespace shale::snapshot {
namespace {

EntrySpec symlink(std::string target) {
    EntrySpec spec;
    spec.type = FileType::Symlink;
    spec.link_target = std::move(target);
    return spec;
}

EntrySpec file() {
    EntrySpec spec;
    spec.type = FileType::Regular;
    return spec;
}

// Where `path` leads: the path found, "?" and the place of a missing last component, or "!" alone.
std::string resolved(const Tree& tree, std::string_view path) {
    std::string place = "unset";
    const NodeId node = tree.resolve(path, &place);
    if (node == kNoNode) return place.empty() ? "!" : "?" + place;
    EXPECT_EQ(tree.path(node), place);
    return place;
}

TEST(Resolve, FollowsLinksLikeAChroot) {
    TreeBuilder builder;
    builder.put("usr/lib/f", file());
    builder.put("lib", symlink("usr/lib"));
    builder.put("abs", symlink("/lib/f"));
    builder.put("usr/up", symlink("../../../../lib"));
    builder.put("usr/self", symlink("."));
    builder.put("dangling", symlink("usr/new"));
    builder.put("far", symlink("no/such/place"));
    const Tree tree = builder.finish();
    EXPECT_EQ(resolved(tree, ""), "");
    EXPECT_EQ(resolved(tree, "/../.."), "");
    EXPECT_EQ(resolved(tree, "lib/f"), "usr/lib/f");
    EXPECT_EQ(resolved(tree, "//lib//./f/"), "usr/lib/f");
    EXPECT_EQ(resolved(tree, "abs"), "usr/lib/f");
    EXPECT_EQ(resolved(tree, "usr/up/f"), "usr/lib/f");
    EXPECT_EQ(resolved(tree, "usr/self/self/lib"), "usr/lib");
    EXPECT_EQ(resolved(tree, "lib/.."), "usr");  // of where the link leads, not of the link
    EXPECT_EQ(resolved(tree, "lib/new"), "?usr/lib/new");
    EXPECT_EQ(resolved(tree, "new"), "?new");
    EXPECT_EQ(resolved(tree, "dangling"), "?usr/new");
    EXPECT_EQ(resolved(tree, "dangling/x"), "!");
    EXPECT_EQ(resolved(tree, "far"), "!");
    EXPECT_EQ(resolved(tree, "abs/x"), "!");
    EXPECT_EQ(resolved(tree, "abs/.."), "!");
    EXPECT_EQ(tree.resolve("lib/f"), tree.find("usr/lib/f"));
}

TEST(Resolve, LoopsAndBombsAreInvalid) {
    TreeBuilder builder;
    builder.put("a", symlink("b"));
    builder.put("b", symlink("a"));
    std::string previous = "leaf";
    builder.put("leaf", {});
    for (int level = 0; level < 40; ++level) {  // 2^40 components if expanded
        const std::string name = "bomb" + std::to_string(level);
        builder.put(name, symlink(previous + "/../" + previous));
        previous = name;
    }
    const Tree tree = builder.finish();
    for (const char* path : {"a", "b/x", "bomb39"})
        try {
            tree.resolve(path);
            ADD_FAILURE() << path;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        }
    EXPECT_EQ(tree.resolve("bomb3"), tree.find("leaf"));
}

TEST(Resolve, ExactlyTheLimitOfLinksIsFine) {
    TreeBuilder builder;
    builder.put("l0", file());
    for (int link = 1; link <= 256; ++link)
        builder.put("l" + std::to_string(link), symlink("l" + std::to_string(link - 1)));
    const Tree tree = builder.finish();
    EXPECT_EQ(tree.resolve("l255"), tree.find("l0"));
    EXPECT_THROW(tree.resolve("l256"), Error);
}

}  // namespace
}  // namespace shale::snapshot
