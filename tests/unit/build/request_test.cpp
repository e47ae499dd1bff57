// --output, EXPOSE and STOPSIGNAL texts, variables, arguments and the stage graph: everything that
// is decided before a step runs.
#include "arguments.hpp"
#include "plan.hpp"
#include "ports.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Output, BarePathIsADirectoryAndDashATar) {
    EXPECT_EQ(parse_output("out").type, OutputType::Local);
    EXPECT_EQ(parse_output("out").destination, "out");
    EXPECT_EQ(parse_output("-").type, OutputType::Tar);
}

TEST(Output, ReadsEveryKey) {
    const auto output = parse_output("type=oci,dest=x.tar,compression=gzip,compression-level=9,"
                                     "force-compression=true,name=a:b");
    EXPECT_EQ(output.type, OutputType::Oci);
    EXPECT_EQ(output.destination, "x.tar");
    EXPECT_EQ(output.compression, layer::Form::Gzip);
    EXPECT_EQ(output.compression_level, 9);
    EXPECT_TRUE(output.force_compression);
    EXPECT_EQ(output.names, std::vector<std::string>{"a:b"});
}

TEST(Output, NamesWhatIsWrong) {
    EXPECT_NE(error_of([] { parse_output("type=locl,dest=x"); }).find("did you mean local"),
              std::string::npos);
    EXPECT_NE(error_of([] { parse_output("type=oci,dset=x"); }).find("\"dset\""),
              std::string::npos);
    EXPECT_NE(error_of([] { parse_output("type=oci"); }).find("dest is required"),
              std::string::npos);
    EXPECT_NE(error_of([] { parse_output("dest=x"); }).find("type is required"), std::string::npos);
    EXPECT_NE(error_of([] {
                  parse_output("type=oci,dest=x,compression-level=high");
              }).find("non-integer compression-level"),
              std::string::npos);
}

TEST(Output, ADockerArchiveWithoutAPlaceIsAnImageOfTheStore) {
    const auto output = parse_output("type=docker,name=a:b");
    EXPECT_EQ(output.type, OutputType::Image);
    EXPECT_EQ(output.names, std::vector<std::string>{"a:b"});
    EXPECT_EQ(parse_output("type=docker,dest=x").type, OutputType::Docker);
}

TEST(Output, IsOneRecordOfCommaSeparatedValues) {
    const auto output =
        parse_output("type=image,\"name=a:1,b:2\",\"annotation.x=1,\"\"2\"\"\",push=T");
    EXPECT_EQ(output.names, (std::vector<std::string>{"a:1", "b:2"}));
    ASSERT_EQ(output.annotations.size(), 1u);
    EXPECT_EQ(output.annotations[0].value, "1,\"2\"");
    EXPECT_TRUE(output.push);
    EXPECT_NE(error_of([] { parse_output("type=oci,\"dest=x"); }).find("quote is not closed"),
              std::string::npos);
}

TEST(Output, KnowsTheOptionsOfImages) {
    const auto output = parse_output("type=registry,push-by-digest=true,name-canonical=true,"
                                     "dangling-name-prefix=p,oci-mediatypes=false,store=false,"
                                     "rewrite-timestamp=true,source-date-epoch=7,unpack=true,"
                                     "buildinfo=true");
    EXPECT_TRUE(output.push && output.push_by_digest && output.name_canonical);
    EXPECT_TRUE(output.docker_types && output.rewrite_timestamp && !output.keep);
    EXPECT_EQ(output.dangling_prefix, "p");
    EXPECT_EQ(output.source_date_epoch, 7);
    EXPECT_NE(error_of([] {
                  parse_output("type=image,compression=zstd,oci-mediatypes=false");
              }).find("conflicts with \"oci-mediatypes=false\""),
              std::string::npos);
    EXPECT_NE(error_of([] {
                  parse_output("type=image,registry.insecure=true");
              }).find("insecure-registries"),
              std::string::npos);
}

TEST(Output, AnnotationKeysNameTypeAndPlatform) {
    const auto output =
        parse_output("type=image,annotation-index[linux/amd64].org.a=1,"
                     "annotation[linux/arm64].b=2,annotation-manifest-descriptor.c=3");
    ASSERT_EQ(output.annotations.size(), 3u);
    EXPECT_EQ(output.annotations[0].place, AnnotationPlace::Index);
    EXPECT_EQ(output.annotations[0].key, "org.a");
    EXPECT_EQ(output.annotations[1].platform->str(), "linux/arm64");
    EXPECT_EQ(output.annotations[2].place, AnnotationPlace::ManifestDescriptor);
}

TEST(Annotations, NameWhatIsWrong) {
    EXPECT_EQ(error_of([] { parse_annotation("novalue"); }),
              "invalid annotation \"novalue\", expected key=value");
    EXPECT_NE(
        error_of([] { parse_annotation("layer:a=b"); }).find("unknown annotation type \"layer\""),
        std::string::npos);
    EXPECT_NE(error_of([] { parse_annotation("index:=b"); }).find("needs a name"),
              std::string::npos);
    EXPECT_EQ(parse_annotation("a=b:c=d").front().value, "b:c=d");
}

TEST(Ports, AllForms) {
    EXPECT_EQ(parse_ports("80"), std::vector<std::string>{"80/tcp"});
    EXPECT_EQ(parse_ports("53/UDP"), std::vector<std::string>{"53/udp"});
    EXPECT_EQ(parse_ports("8000-8002/tcp").size(), 3u);
    EXPECT_EQ(parse_ports("127.0.0.1:80:8080"), std::vector<std::string>{"8080/tcp"});
}

TEST(Ports, RejectsNonsense) {
    EXPECT_NE(error_of([] { parse_ports("80/foo"); }).find("invalid proto: foo"),
              std::string::npos);
    EXPECT_NE(error_of([] { parse_ports("http"); }).find("invalid containerPort: http"),
              std::string::npos);
    EXPECT_NE(error_of([] { parse_ports("90-80"); }).find("invalid port range"), std::string::npos);
    EXPECT_NE(error_of([] { parse_ports("70000"); }).find("invalid"), std::string::npos);
    EXPECT_NE(error_of([] { parse_ports(""); }).find("invalid"), std::string::npos);
}

TEST(Signals, NamesAndNumbers) {
    for (const char* good : {"9", "SIGTERM", "term", "SIGRTMIN", "RTMIN+3", "SIGRTMAX-2"})
        EXPECT_EQ(error_of([&] { check_signal(good); }), "no error") << good;
    for (const char* bad : {"0", "-1", "SIGFOO", "", "RTMIN+99", "RTMIN-1", "9x"})
        EXPECT_EQ(error_of([&] { check_signal(bad); }), "invalid signal: " + std::string(bad));
}

TEST(Environment, KeepsThePlaceOfAKnownName) {
    auto environment = Environment::from_list({"A=1", "B=2=3", "C"});
    environment.set("A", "9");
    environment.set("D", "4");
    EXPECT_EQ(environment.list(), (std::vector<std::string>{"A=9", "B=2=3", "C=", "D=4"}));
}

dockerfile::File parsed(std::string_view text) {
    auto result = dockerfile::parse(text);
    EXPECT_TRUE(result.ok()) << (result.diagnostics.empty() ? "" : result.diagnostics[0].text);
    return std::move(result.file);
}

Arguments arguments_for(const dockerfile::File& file, const Request& request = {}) {
    return Arguments(request, file, oci::Platform::parse("linux/amd64"),
                     oci::Platform::parse("linux/amd64"), "");
}

TEST(Arguments, GlobalDefaultsSeeEarlierOnesAndTheCommandLineWins) {
    const auto file = parsed("ARG A=1\nARG B=x$A\nFROM scratch\n");
    EXPECT_EQ(arguments_for(file).global("B"), "x1");
    Request request;
    request.build_args = {{"A", "7"}};
    EXPECT_EQ(arguments_for(file, request).global("B"), "x7");
}

TEST(Arguments, StagePrecedence) {
    const auto file = parsed("ARG X=global\nFROM scratch\n");
    const dockerfile::Lookup none = [](std::string_view) { return std::nullopt; };
    const auto arguments = arguments_for(file);
    EXPECT_EQ(arguments.for_stage({"X", std::nullopt}, none, '\\'), "global");
    EXPECT_EQ(arguments.for_stage({"X", "own"}, none, '\\'), "own");
    EXPECT_EQ(arguments.for_stage({"Y", std::nullopt}, none, '\\'), std::nullopt);
    EXPECT_EQ(arguments.for_stage({"Y", ""}, none, '\\'), "");
    EXPECT_EQ(arguments.for_stage({"TARGETARCH", std::nullopt}, none, '\\'), "amd64");
    Request request;
    request.build_args = {{"X", "given"}};
    EXPECT_EQ(arguments_for(file, request).for_stage({"X", "own"}, none, '\\'), "given");
}

TEST(Arguments, AnUnusedDefaultIsNotExpanded) {
    const auto file = parsed("FROM scratch\n");
    Request request;
    request.build_args = {{"B", "given"}};
    const dockerfile::Lookup none = [](std::string_view) { return std::nullopt; };
    EXPECT_EQ(arguments_for(file, request).for_stage({"B", "${FOO:?custom}"}, none, '\\'), "given");
    EXPECT_THROW(arguments_for(file).for_stage({"B", "${FOO:?custom}"}, none, '\\'), Error);
}

TEST(Arguments, ProxiesAreGivenInBothSpellings) {
    const auto file = parsed("FROM scratch\n");
    Request request;
    request.build_args = {{"http_proxy", "u"}};
    const auto proxies = arguments_for(file, request).proxies();
    ASSERT_EQ(proxies.size(), 2u);
    EXPECT_EQ(proxies[0].key, "HTTP_PROXY");
    EXPECT_EQ(proxies[1].key, "http_proxy");
    EXPECT_EQ(proxies[1].value, "u");
}

constexpr std::string_view kStages = "FROM debian AS base\n"
                                     "FROM base AS tools\nRUN x\n"
                                     "FROM scratch AS unused\nRUN --mount=type=cache,target=/c x\n"
                                     "FROM alpine AS Final\nCOPY --from=tools /a /a\n";

TEST(Plan, OnlyReachedStagesCount) {
    const auto file = parsed(kStages);
    EXPECT_EQ(reached_stages(file, 3, arguments_for(file)), (std::vector<std::uint32_t>{0, 1, 3}));
    EXPECT_EQ(reached_stages(file, 0, arguments_for(file)), std::vector<std::uint32_t>{0});
}

TEST(Plan, AMountFromNowhereNeedsNoOtherStage) {
    const auto file = parsed(kStages);
    EXPECT_EQ(reached_stages(file, 2, arguments_for(file)), std::vector<std::uint32_t>{2});
}

TEST(Plan, TargetIsFoundInAnyCaseAndSuggested) {
    const auto file = parsed(kStages);
    EXPECT_EQ(find_target(file, "FINAL"), 3u);
    EXPECT_EQ(find_target(file, ""), 3u);
    EXPECT_EQ(error_of([&] { find_target(file, "tool"); }),
              "target stage \"tool\" could not be found (did you mean tools?)");
}

TEST(Plan, CopyFromKnowsNamesNumbersAndImages) {
    const auto file = parsed(kStages);
    EXPECT_EQ(std::get<StageBase>(resolve_copy_from(file, 3, "TOOLS")).stage, 1u);
    EXPECT_EQ(std::get<StageBase>(resolve_copy_from(file, 3, "0")).stage, 0u);
    EXPECT_EQ(std::get<ImageBase>(resolve_copy_from(file, 3, "busybox")).reference.str(),
              "docker.io/library/busybox:latest");
    EXPECT_TRUE(std::holds_alternative<ScratchBase>(resolve_copy_from(file, 3, "scratch")));
}

TEST(Plan, CopyFromErrors) {
    const auto file = parsed(kStages);
    EXPECT_EQ(error_of([&] { resolve_copy_from(file, 1, "final"); }),
              "cannot copy from stage \"final\", it needs to be defined before current stage "
              "\"tools\"");
    EXPECT_EQ(error_of([&] { resolve_copy_from(file, 1, "tools"); }),
              "circular dependency detected on stage: tools");
    EXPECT_EQ(error_of([&] { resolve_copy_from(file, 1, "17"); }), "invalid stage index 17");
    EXPECT_NE(error_of([&] {
                  resolve_copy_from(file, 1, "$X");
              }).find("variable expansion is not supported for --from"),
              std::string::npos);
}

TEST(Plan, FromPrefersEarlierStagesAndExpandsGlobals) {
    const auto file = parsed("ARG V=18\nFROM node:$V AS node\nFROM node AS b\nFROM ${NO}\n");
    const auto arguments = arguments_for(file);
    EXPECT_EQ(std::get<ImageBase>(resolve_from(file, 0, arguments)).reference.familiar(),
              "node:18");
    EXPECT_EQ(std::get<StageBase>(resolve_from(file, 1, arguments)).stage, 0u);
    EXPECT_EQ(error_of([&] { resolve_from(file, 2, arguments); }),
              "base name (${NO}) should not be blank (no ARG NO before the first FROM)");
}

TEST(Plan, AVariableOfNoArgumentIsNamed) {
    const auto file = parsed("ARG VERSION\nFROM node:$TAG\nFROM node:$VERSION\n");
    const auto message = [&](std::uint32_t stage) {
        return error_of([&] { resolve_from(file, stage, arguments_for(file)); });
    };
    EXPECT_NE(message(0).find("\"node:\" (no ARG TAG before the first FROM)"), std::string::npos);
    EXPECT_EQ(message(1).find("no ARG"), std::string::npos);
}

TEST(Plan, BadReferenceNamesIt) {
    const auto file = parsed("FROM A:B:C\n");
    EXPECT_NE(error_of([&] {
                  resolve_from(file, 0, arguments_for(file));
              }).find("failed to parse stage name \"A:B:C\""),
              std::string::npos);
}

}  // namespace
}  // namespace shale::build
