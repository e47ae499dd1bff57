// Targets and outlines: what a Dockerfile offers to whoever builds it.
#include <shale/build.hpp>

#include <gtest/gtest.h>

namespace shale::build {
namespace {

TEST(Targets, HaveTheirDescriptions) {
    const auto targets = list_targets(
        dockerfile::parse("# dev for work\n#\n# base the base\nFROM --platform=$P a AS base\n"
                          "# other words\nFROM base\n")
            .file);
    ASSERT_EQ(targets.size(), 2u);
    EXPECT_EQ(targets[0].description, "the base");
    EXPECT_EQ(targets[0].platform, "$P");
    EXPECT_FALSE(targets[0].is_default);
    EXPECT_EQ(targets[1].name, "");
    EXPECT_EQ(targets[1].base, "base");
    EXPECT_EQ(targets[1].description, "");
    EXPECT_TRUE(targets[1].is_default);
}

TEST(Outline, ListsWhatTheTargetUses) {
    const auto file = dockerfile::parse("ARG inherited=box\n"
                                        "ARG unused=x\n"
                                        "# sfx is a suffix\n"
                                        "ARG sfx=\"usy${inherited}\"\n"
                                        "FROM b${sfx} AS build\n"
                                        "ARG TARGETARCH\n"
                                        "# first of all\n"
                                        "ARG first=1 second\n"
                                        "RUN --mount=type=secret,id=s,required x\n"
                                        "RUN --mount=type=secret,target=/t/s --mount=type=ssh x\n"
                                        "FROM scratch\n"
                                        "ARG unused\n")
                          .file;
    Request request;
    request.target = "BUILD";
    const auto result = outline(request, file);
    EXPECT_EQ(result.name, "build");
    ASSERT_EQ(result.arguments.size(), 4u);
    EXPECT_EQ(result.arguments[0].name, "inherited");
    EXPECT_EQ(result.arguments[1].name, "sfx");
    EXPECT_EQ(result.arguments[1].description, "is a suffix");
    EXPECT_EQ(result.arguments[1].value, "usybox");
    EXPECT_EQ(result.arguments[1].lines.first, 4u);
    EXPECT_EQ(result.arguments[2].name, "first");
    EXPECT_EQ(result.arguments[2].description, "of all");
    EXPECT_EQ(result.arguments[3].name, "second");
    EXPECT_EQ(result.arguments[3].value, std::nullopt);
    ASSERT_EQ(result.secrets.size(), 1u);
    EXPECT_EQ(result.secrets[0].id, "s");
    EXPECT_TRUE(result.secrets[0].required);
    ASSERT_EQ(result.ssh.size(), 1u);
    EXPECT_EQ(result.ssh[0].id, "default");
}

}  // namespace
}  // namespace shale::build
