#include "build_request.hpp"
#include "help.hpp"

#include <CLI/Error.hpp>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

namespace shale::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The flags of shale build after `words`.
BuildFlags parse(std::vector<std::string> words) {
    BuildFlags flags;
    CLI::App app;
    declare_build_flags(app, flags);
    std::reverse(words.begin(), words.end());
    app.parse(words);
    return flags;
}

build::Request request(std::vector<std::string> words) {
    words.push_back("context");
    return build_request(parse(std::move(words)));
}

std::string refusal(const std::vector<std::string>& words) {
    try {
        request(words);
    } catch (const std::exception& error) {
        return error.what();
    }
    return "accepted";
}

TEST(BuildFlags, ARepeatableFlagTakesOneValueAndLeavesTheContext) {
    const auto flags = parse({"--build-arg", "A=1", "--build-arg", "B=2", "-t", "x", "."});
    EXPECT_THAT(flags.build_args, ElementsAre("A=1", "B=2"));
    EXPECT_THAT(flags.tags, ElementsAre("x"));
    EXPECT_EQ(flags.context, ".");
}

TEST(BuildFlags, TheLastUseOfASingleValueWins) {
    EXPECT_EQ(parse({"--target", "a", "--target=b", "."}).target, "b");
    EXPECT_EQ(parse({"-f", "one", "-ftwo", "."}).file, "two");
}

TEST(BuildFlags, AValueMayBeginWithADashOrHoldCommas) {
    EXPECT_EQ(parse({"-f", "-", "."}).file, "-");
    EXPECT_THAT(parse({"--label", "a=1,2", "."}).labels, ElementsAre("a=1,2"));
}

TEST(BuildFlags, RefusesWhatIsNoChoiceOrNoNumber) {
    EXPECT_THAT(refusal({"--progress", "fancy"}), HasSubstr("auto|plain|tty"));
    EXPECT_THAT(refusal({"--network", "bridge"}), HasSubstr("default|none|host"));
    EXPECT_THAT(refusal({"-j", "2x"}), HasSubstr("--jobs"));
    EXPECT_THAT(refusal({"-j", "-1"}), HasSubstr("--jobs"));
}

TEST(BuildFlags, NamesTheFlagsOfDockerThatAreNotImplemented) {
    EXPECT_THAT(refusal({"--policy", "x"}), HasSubstr("--policy is not implemented"));
    EXPECT_THAT(refusal({"--cache-from=type=registry"}), HasSubstr("--cache-from"));
}

TEST(BuildFlags, AttestationsTakeOptionsThatBelongToThem) {
    EXPECT_EQ(refusal({"--provenance=false", "--sbom", "false"}), "accepted");
    EXPECT_EQ(refusal({"--provenance=mode=max", "--sbom=true"}), "accepted");
    EXPECT_THAT(refusal({"--sbom=mode=max"}), HasSubstr("mode is for a generator"));
    EXPECT_THAT(refusal({"--attest", "type=signature"}), HasSubstr("signature"));
}

TEST(BuildFlags, NeedsExactlyOneContext) {
    EXPECT_THROW(parse({}), CLI::ParseError);
    EXPECT_THROW(parse({"one", "two"}), CLI::ParseError);
}

TEST(BuildRequest, TakesTheValueOfABuildArgFromTheEnvironment) {
    ::setenv("SHALE_TEST_SET", "from here", 1);
    ::unsetenv("SHALE_TEST_UNSET");
    const auto made = request({"--build-arg", "SHALE_TEST_SET", "--build-arg", "SHALE_TEST_UNSET",
                               "--build-arg", "EMPTY=", "--build-arg", "K=a=b"});
    ASSERT_EQ(made.build_args.size(), 3u);
    EXPECT_EQ(made.build_args[0].value, "from here");
    EXPECT_EQ(made.build_args[1].value, "");
    EXPECT_EQ(made.build_args[2].value, "a=b");
}

TEST(BuildRequest, WithoutOutputMakesAnImage) {
    const auto made = request({});
    ASSERT_EQ(made.outputs.size(), 1u);
    EXPECT_EQ(made.outputs[0].type, build::OutputType::Image);
    EXPECT_FALSE(made.outputs[0].push);
    EXPECT_TRUE(request({"--push", "-t", "x"}).outputs.at(0).push);
}

TEST(BuildRequest, CompressionReachesEveryOutputThatDoesNotSayItsOwn) {
    const auto made = request({"--compression", "gzip", "-o", "type=oci,dest=a", "-o",
                               "type=oci,dest=b,compression=zstd"});
    EXPECT_EQ(made.outputs.at(0).compression, layer::Form::Gzip);
    EXPECT_EQ(made.outputs.at(1).compression, layer::Form::Zstd);
}

TEST(BuildRequest, PushAndLoadApplyToTheImageOutputThatIsThere) {
    const auto made = request({"--push", "--load", "-o", "type=image,name=reg.example/app:1"});
    ASSERT_EQ(made.outputs.size(), 1u);
    EXPECT_TRUE(made.outputs[0].push);
    const auto beside = request({"--push", "-t", "x", "-o", "type=oci,dest=a"});
    ASSERT_EQ(beside.outputs.size(), 2u);
    EXPECT_FALSE(beside.outputs[0].push);
    EXPECT_TRUE(beside.outputs[1].push);
}

TEST(BuildRequest, PushingNeedsAName) {
    for (const auto& words :
         std::vector<std::vector<std::string>>{{"--push"}, {"-o", "type=registry"}})
        EXPECT_THAT(refusal(words), HasSubstr("tag is needed when pushing"));
    EXPECT_EQ(refusal({"-o", "type=registry,name=reg.example/app:1"}), "accepted");
    EXPECT_EQ(refusal({"-o", "type=registry", "-t", "reg.example/app:1"}), "accepted");
    EXPECT_THAT(refusal({"-o", "type=image,name=A:B:C"}), HasSubstr("invalid reference format"));
    EXPECT_THAT(refusal({"-t", "x", "-o", "type=oci,dest=a,push=true"}), HasSubstr("push=true"));
}

TEST(BuildRequest, ACompressionLevelAloneMeansZstd) {
    EXPECT_EQ(request({"--compression-level", "19"}).outputs.at(0).compression, layer::Form::Zstd);
    EXPECT_EQ(request({"-o", "type=oci,dest=a,compression-level=5"}).outputs.at(0).compression,
              layer::Form::Zstd);
}

TEST(BuildRequest, ALevelOutOfRangeIsRefusedBeforeTheBuildWhereverItsPartsComeFrom) {
    EXPECT_THAT(refusal({"--compression", "gzip", "--compression-level", "15"}),
                HasSubstr("unsupported compression-level: 15"));
    EXPECT_THAT(refusal({"--compression", "gzip", "-o", "type=oci,dest=a,compression-level=15"}),
                HasSubstr("unsupported compression-level: 15"));
    EXPECT_THAT(refusal({"--compression-level", "23"}), HasSubstr("23"));
}

TEST(BuildRequest, StandardInputIsOneThing) {
    BuildFlags flags;
    flags.context = "-";
    flags.file = "-";
    EXPECT_THROW(build_request(flags), Error);
    flags.file = "Dockerfile";  // of an archive that comes on standard input
    EXPECT_NO_THROW(build_request(flags));
    flags.file.clear();
    EXPECT_NO_THROW(build_request(flags));
}

TEST(BuildRequest, RefusesWhatContradictsItself) {
    EXPECT_THAT(refusal({"--no-cache", "--no-cache-filter", "a"}), HasSubstr("--no-cache-filter"));
    EXPECT_THAT(refusal({"-t", "a@sha256:" + std::string(64, '0')}), HasSubstr("digest"));
    EXPECT_THAT(refusal({"--iidfile", "f", "-o", "out"}), HasSubstr("image ID file"));
    EXPECT_THAT(refusal({"--build-arg", "=x"}), HasSubstr("--build-arg"));
}

TEST(BuildRequest, NoCacheFilterSplitsAtCommas) {
    EXPECT_THAT(request({"--no-cache-filter", "a,b", "--no-cache-filter", "c"}).no_cache_filter,
                ElementsAre("a", "b", "c"));
}

TEST(Arguments, TakeEveryWord) {
    CLI::App app;
    std::vector<std::string> names;
    bool lazy = false;
    required(add_arguments(app, "REF", names, ""));
    add_switch(app, "--lazy", lazy, "");
    app.parse(std::vector<std::string>{"c", "--lazy", "b", "a"});  // CLI11 takes them from the end
    EXPECT_THAT(names, ElementsAre("a", "b", "c"));
    EXPECT_TRUE(lazy);
}

TEST(FlagTable, LeavesOutWhatIsHidden) {
    const Parser parser(*find_command("build"));
    const auto names = long_flag_names(parser.app);
    EXPECT_NE(std::find(names.begin(), names.end(), "--tag"), names.end());
    EXPECT_EQ(std::find(names.begin(), names.end(), "--policy"), names.end());
}

TEST(FlagTable, EveryCommandReachesTheGlobalFlags) {
    for (const auto* command : commands()) {
        const Parser parser(*command);
        const auto names = long_flag_names(parser.app);
        EXPECT_NE(std::find(names.begin(), names.end(), "--root"), names.end()) << command->name;
    }
}

}  // namespace
}  // namespace shale::cli
