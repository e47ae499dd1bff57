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
    words = spelled_out(words, app);
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

TEST(BuildFlags, AShortFlagTakesItsValueBehindAnEqualsSign) {
    const auto flags = parse({"-t=app:1", "-f=D3", "-q=true", "-o=type=oci,dest=x", "."});
    EXPECT_THAT(flags.tags, ElementsAre("app:1"));
    EXPECT_EQ(flags.file, "D3");
    EXPECT_TRUE(flags.quiet);
    EXPECT_THAT(flags.outputs, ElementsAre("type=oci,dest=x"));
    EXPECT_FALSE(parse({"-q=false", "."}).quiet);
    const auto bundle = parse({"-qt=app", "-fa=b", "."});
    EXPECT_TRUE(bundle.quiet);
    EXPECT_THAT(bundle.tags, ElementsAre("app"));
    EXPECT_EQ(bundle.file, "a=b");
    EXPECT_EQ(parse({"--", "-t=x"}).context, "-t=x");
}

TEST(BuildFlags, AnEmptyValueIsNotTheNextWord) {
    const auto flags = parse({"--metadata-file=", "--push", "--target=", "-f=", "--platform=",
                              "--network=", "--cache-from=", "--call=", "-t", "app", "."});
    EXPECT_EQ(flags.metadata_file, "");
    EXPECT_TRUE(flags.push);
    EXPECT_EQ(flags.target, "");
    EXPECT_EQ(flags.file, "");
    EXPECT_EQ(flags.context, ".");
    const auto made =
        request({"--target=", "--platform=", "--network", "", "--cache-from", "",
                 "--cache-to=", "--iidfile=", "--output=", "--progress=", "--no-cache",
                 "--no-cache-filter=", "--build-arg=", "--label=", "--secret=", "--ssh=",
                 "--annotation=", "--jobs=", "-t="});
    EXPECT_TRUE(made.platforms.empty());
    EXPECT_TRUE(made.cache_from.empty());
    EXPECT_TRUE(made.cache_to.empty());
    EXPECT_EQ(made.outputs.size(), 1u);
}

TEST(BuildFlags, ValuesStayAsTheyAre) {
    const auto flags = parse({"--label", "-t=x", "--build-arg", "--A=", "--verify-cache=7",
                              "--label=--b=", "-t", "y", "."});
    EXPECT_THAT(flags.labels, ElementsAre("-t=x", "--b="));
    EXPECT_THAT(flags.build_args, ElementsAre("--A="));
    EXPECT_THAT(flags.tags, ElementsAre("y"));
    EXPECT_EQ(flags.verify_percent, 7);
    EXPECT_EQ(parse({"--verify-cache", "."}).context, ".");
    EXPECT_THAT(parse({"--label", "-qt=x", "."}).labels, ElementsAre("-qt=x"));
    EXPECT_EQ(parse({"--", "-qt=x"}).context, "-qt=x");
    EXPECT_THAT(parse({"--label", "--", "."}).labels, ElementsAre("--"));
}

TEST(BuildRequest, ThePlatformThatDockerWouldTake) {
    ::setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64", 1);
    EXPECT_EQ(request({}).platforms.at(0).str(), "linux/arm64");
    EXPECT_EQ(request({"--platform="}).platforms.at(0).str(), "linux/arm64");
    EXPECT_EQ(request({"--platform", "linux/amd64"}).platforms.at(0).str(), "linux/amd64");
    ::unsetenv("DOCKER_DEFAULT_PLATFORM");
    EXPECT_TRUE(request({}).platforms.empty());
}

TEST(BuildRequest, ProxiesOfDockersFileUnlessOneIsGiven) {
    const TempDir folder;
    const auto proxies = [&](std::vector<std::string> words) {
        std::vector<std::string> found;
        const auto made = request(std::move(words));
        for (const auto* pairs : {&made.build_args, &made.proxies})
            for (const auto& [key, value] : *pairs)
                found.push_back(key + "=" + value);
        return found;
    };
    write_file_atomic(folder.path() + "/config.json",
                      as_bytes(std::string_view(R"({"proxies":{"default":{"httpProxy":"http://p:1",
                          "noProxy":"x","other":"y"},"tcp://h":{"ftpProxy":"f"}}})")));
    ::setenv("DOCKER_CONFIG", folder.path().c_str(), 1);
    EXPECT_THAT(proxies({}), ElementsAre("HTTP_PROXY=http://p:1", "NO_PROXY=x"));
    EXPECT_THAT(proxies({"--build-arg", "http_proxy=mine"}),
                ElementsAre("http_proxy=mine", "NO_PROXY=x"));
    write_file_atomic(folder.path() + "/config.json", as_bytes(std::string_view("{")));
    EXPECT_TRUE(proxies({}).empty()) << "a damaged file is no reason not to build";
    ::unsetenv("DOCKER_CONFIG");
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
    EXPECT_THAT(refusal({"-o", "-", "-o", "type=oci,dest=-"}), HasSubstr("standard output"));
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

TEST(Arguments, AnEmptyWordIsNoneOfTheChoices) {
    for (const char* name : {"cache-mount", "completion", "dockerfile"}) {
        Parser parser(*find_command(name));
        EXPECT_THROW(parser.app.parse(std::vector<std::string>{"x", ""}), CLI::ParseError) << name;
    }
    CLI::App app;
    std::string format = "json";
    add_value(app, "--format", format, "json|table", "");
    app.parse(std::vector<std::string>{"", "--format"});
    EXPECT_EQ(format, "json");
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
