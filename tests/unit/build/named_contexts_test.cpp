// Names that --build-context gives a meaning: how they are spelled, where they apply, and what
// their values are.
#include "named_contexts.hpp"
#include "plan.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

using Given = std::vector<KeyValue>;

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

const oci::Platform kArm = oci::Platform::parse("linux/arm64");

std::string found(const Given& given, const std::string& name, const std::string& platform = {}) {
    const auto* value = NamedContexts(given, kArm).find(name, platform);
    return value ? *value : "nothing";
}

TEST(NamedContexts, NamesAreComparedAsImagesAre) {
    const std::vector<std::pair<std::string, std::optional<std::string>>> table = {
        {"alpine", "alpine"},
        {"alpine:latest", "alpine"},
        {"docker.io/library/alpine", "alpine"},
        {"index.docker.io/library/alpine:latest", "alpine"},
        {"alpine:3.19", "alpine:3.19"},
        {"docker.io/me/app", "me/app"},
        {"ghcr.io/me/app:latest", "ghcr.io/me/app"},
        {"Base", std::nullopt},
        {"a b", std::nullopt},
        {"", std::nullopt},
    };
    for (const auto& [text, normal] : table)
        EXPECT_EQ(normalise_context_name(text), normal) << text;
    EXPECT_EQ(found({{"alpine", "x"}}, "docker.io/library/alpine:latest"), "x");
    EXPECT_EQ(found({{"docker.io/library/alpine:latest", "x"}}, "alpine"), "x");
    EXPECT_EQ(found({{"alpine:3", "x"}}, "alpine"), "nothing");
}

TEST(NamedContexts, ThePlatformsOwnGoesFirstAndTheLastOneCounts) {
    const Given given = {
        {"a::linux/arm64", "arm"}, {"a", "old"}, {"a", "any"}, {"a::amd64", "amd"}};
    EXPECT_EQ(found(given, "a"), "arm");
    EXPECT_EQ(found(given, "a", "linux/amd64"), "amd");
    EXPECT_EQ(found(given, "a", "linux/s390x"), "any");
    EXPECT_EQ(found({{"a::amd64", "amd"}}, "a"), "nothing");
}

TEST(NamedContexts, ReservedNamesStayWhatTheyAre) {
    EXPECT_EQ(found({{"scratch", "x"}, {"context", "y"}}, "scratch"), "nothing");
    EXPECT_EQ(found({{"scratch", "x"}, {"context", "y"}}, "context"), "nothing");
    EXPECT_EQ(NamedContexts().find("a"), nullptr);
}

TEST(NamedContexts, MistakesAreFoundBeforeTheyAreUsed) {
    EXPECT_EQ(error_of([] { check_named_contexts({{"a", "x"}, {"b::arm64", "y"}}); }), "no error");
    for (const Given& wrong : {Given{{"A", "x"}}, Given{{"a", ""}}, Given{{"a b", "x"}}})
        EXPECT_NE(error_of([&] { check_named_contexts(wrong); }).find("invalid build context"),
                  std::string::npos);
    EXPECT_NE(error_of([] { check_named_contexts({{"a::/", "x"}}); }), "no error");
}

struct Planned {
    dockerfile::File file;
    Request request;
    Planned(std::string_view text, Given contexts) : file(dockerfile::parse(text).file) {
        request.build_contexts = std::move(contexts);
    }
    NamedContexts contexts() const { return {request.build_contexts, kArm}; }
    Arguments arguments() const { return Arguments(request, file, kArm, kArm, ""); }
    Base from(std::uint32_t stage) const {
        return resolve_from(file, stage, arguments(), contexts());
    }
};

TEST(NamedContexts, EveryKindOfValueIsKnown) {
    const auto base = [](const std::string& value) {
        return Planned("FROM --platform=linux/amd64 a\n", {{"a", value}}).from(0);
    };
    const auto image = std::get<ImageBase>(base("docker-image://alpine:3"));
    EXPECT_EQ(image.reference.familiar(), "alpine:3");
    EXPECT_EQ(image.platform, "linux/amd64");
    EXPECT_EQ(image.layout, "");
    EXPECT_TRUE(std::holds_alternative<ScratchBase>(base("docker-image://scratch")));
    const std::string digest = "sha256:" + std::string(64, 'a');
    const std::vector<std::tuple<std::string, std::string, std::string, bool>> layouts = {
        {"/l", "/l", "", false},          {"./d/l:v1", "./d/l", "v1", false},
        {"/l@" + digest, "/l", "", true}, {"/l:v1@" + digest, "/l", "v1", true},
        {"/a:b/l", "/a:b/l", "", false},
    };
    for (const auto& [text, path, tag, has_digest] : layouts) {
        const auto layout = std::get<ImageBase>(base("oci-layout://" + text));
        EXPECT_EQ(layout.layout, path) << text;
        EXPECT_EQ(layout.reference.tag, tag) << text;
        EXPECT_EQ(layout.reference.digest.has_value(), has_digest) << text;
    }
    EXPECT_NE(error_of([&] { base("oci-layout://"); }), "no error");
    EXPECT_NE(error_of([&] { base("docker-image://A:B:C"); }).find("build context a="),
              std::string::npos);
    const auto files = std::get<ContextBase>(base("https://h/x.git#main"));
    EXPECT_EQ(files.name, "a");
    EXPECT_EQ(files.value, "https://h/x.git#main");
}

TEST(NamedContexts, StagesGoFirstExceptThatTheirOwnNamesMayBeReplaced) {
    const Planned plan("FROM alpine AS base\nRUN x\nFROM base AS mid\nCOPY --from=other / /\n"
                       "FROM other\nCOPY --from=base / /\n",
                       {{"base", "/b"}, {"alpine", "/a"}, {"other", "/o"}});
    EXPECT_EQ(std::get<StageBase>(plan.from(1)).stage, 0u);
    EXPECT_EQ(std::get<ContextBase>(plan.from(2)).value, "/o");
    const auto replaced = resolve_replacement(plan.file, 0, plan.arguments(), plan.contexts());
    ASSERT_TRUE(replaced);
    EXPECT_EQ(std::get<ContextBase>(*replaced).value, "/b");
    EXPECT_FALSE(resolve_replacement(plan.file, 1, plan.arguments(), plan.contexts()));
    EXPECT_EQ(std::get<StageBase>(resolve_copy_from(plan.file, 2, "base", plan.contexts())).stage,
              0u);
    EXPECT_EQ(
        std::get<ContextBase>(resolve_copy_from(plan.file, 1, "other", plan.contexts())).value,
        "/o");
}

TEST(NamedContexts, AReplacedStageNeedsNothing) {
    const Planned plan("FROM scratch AS a\nFROM scratch AS b\nCOPY --from=a / /\n"
                       "FROM scratch\nCOPY --from=b / /\n",
                       {{"b", "/b"}});
    EXPECT_EQ(reached_stages(plan.file, 2, plan.arguments(), plan.contexts()),
              (std::vector<std::uint32_t>{1, 2}));
    EXPECT_EQ(reached_stages(plan.file, 2, plan.arguments()),
              (std::vector<std::uint32_t>{0, 1, 2}));
}

TEST(CheckSources, OnlyAddTakesWhatIsRemote) {
    dockerfile::Copy copy;
    EXPECT_EQ(error_of([&] { check_sources(copy, {"http://h/x"}); }),
              "source can't be a URL for COPY");
    EXPECT_EQ(error_of([&] { check_sources(copy, {"git@h:x"}); }),
              "source can't be a git ref for COPY");
    copy.is_add = true;
    EXPECT_EQ(error_of([&] {
                  check_sources(copy, {"http://h/x", "git@h:x", "file"});
              }),
              "no error");
    EXPECT_EQ(error_of([&] { check_sources(copy, {"https://h/x.git?y=1"}); }),
              "unexpected query \"y\"");
    copy.checksum = "x";
    EXPECT_EQ(error_of([&] {
                  check_sources(copy, {"http://h/x", "http://h/y"});
              }),
              "checksum can't be specified for multiple sources");
    EXPECT_EQ(error_of([&] { check_sources(copy, {"file"}); }),
              "checksum requires HTTP(S) or Git sources");
}

}  // namespace
}  // namespace shale::build
