// Lint rules that need values, and the outline: on files whose bases are scratch or stages.
#include "lint.hpp"
#include "lint_report.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

using Texts = std::vector<std::string>;

Texts lines_of(const Findings& findings) {
    Texts lines;
    for (const auto& finding : findings)
        lines.push_back(finding_line(finding));
    return lines;
}

// The findings about the last stage of `text`, built on an image with PATH and nothing else.
Texts judge(std::string_view text, const std::vector<KeyValue>& build_args = {},
            std::string_view ignore_text = "", bool base_known = true) {
    auto parsed = dockerfile::parse(text);
    EXPECT_TRUE(parsed.ok()) << text;
    Request request;
    request.build_args = build_args;
    const Arguments arguments(request, parsed.file, oci::Platform::host(), oci::Platform::host(),
                              "");
    const auto ignore = dockerfile::IgnoreMatcher::parse(ignore_text);
    Findings findings;
    LintScope scope;
    scope.environment.set("PATH", "/bin");
    scope.base_known = base_known;
    for (const auto& stage : parsed.file.stages) {
        findings.clear();
        lint_from(parsed.file, stage, arguments, findings);
        lint_stage(parsed.file, stage, arguments, &ignore, scope, findings);
    }
    return lines_of(findings);
}

// What the build would refuse of the last stage: "line: message".
Texts refused(std::string_view text, bool base_known = true,
              const std::vector<KeyValue>& build_args = {}) {
    const auto parsed = dockerfile::parse(text);
    EXPECT_TRUE(parsed.ok()) << text;
    Request request;
    request.build_args = build_args;
    const Arguments arguments(request, parsed.file, oci::Platform::host(), oci::Platform::host(),
                              "");
    Texts errors;
    for (const auto& stage : parsed.file.stages) {
        LintScope scope;
        scope.base_known = base_known;
        Findings findings;
        errors.clear();
        lint_stage(parsed.file, stage, arguments, nullptr, scope, findings,
                   [&](const dockerfile::Instruction& instruction, const Error& error) {
                       errors.push_back(std::to_string(instruction.lines.first) + ": " +
                                        error.what());
                   });
    }
    return errors;
}

TEST(Validate, FindsWhatTheBuildWouldRefuse) {
    for (const char* line :
         {"ENV a=${b!c}", "ENV a=${b:?must}", "LABEL a=${b:?must}", "USER ${b:?must}",
          "WORKDIR ${b:?must}", "EXPOSE 99999", "EXPOSE abc", "STOPSIGNAL FOO", "VOLUME \"\"",
          "COPY --chmod=999 a b", "COPY http://x/y /z", "ADD --checksum=foo https://x/y /z",
          "ADD --checksum=sha256:00 a b", "RUN --mount=type=cache,target=${x:-/} true",
          "RUN --mount=type=bind,target=${b:?must} true", "COPY ${b:?must} /"}) {
        const auto errors = refused("FROM scratch\n" + std::string(line) + "\n");
        ASSERT_EQ(errors.size(), 1u) << line;
        EXPECT_TRUE(errors[0].starts_with("2: ")) << errors[0];
    }
}

TEST(Validate, AcceptsWhatTheBuildAccepts) {
    EXPECT_EQ(refused("FROM scratch\nARG p=80\nENV m=755 u=1\nEXPOSE $p 81/udp 90-92\n"
                      "STOPSIGNAL SIGRTMIN+1\nVOLUME /a [\"/b\"]\nCOPY --chmod=$m --chown=$u a /\n"
                      "ADD --checksum=sha256:"
                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 "
                      "https://x/y /z\nRUN --mount=type=cache,target=c,sharing=${s:-locked} true\n"
                      "RUN --mount=type=ssh --mount=type=ssh true\nUSER ${u:?must}\n"),
              Texts{});
}

// A value from outside makes a default that cannot be had one that nobody asks for.
TEST(Validate, AsksForDefaultsOnlyWhereTheyAreUsed) {
    EXPECT_EQ(refused("FROM scratch\nARG C=${D:?need}\n"),
              Texts{"2: failed to process \"${D:?need}\": D: need"});
    EXPECT_EQ(refused("FROM scratch\nARG C=${D:?need}\n", true, {{"C", "1"}}), Texts{});
}

// What the base sets cannot be missed where nobody knows the base.
TEST(Validate, GuessesNothingAboutAnUnknownBase) {
    EXPECT_EQ(refused("FROM x\nUSER ${b:?must}\nEXPOSE $p\n", false), Texts{});
    EXPECT_EQ(refused("FROM x\nEXPOSE abc\n", false).size(), 1u);
}

TEST(UndefinedVarRule, FindsPlainUsesOnly) {
    EXPECT_EQ(judge("FROM scratch\nCOPY $foo .\nARG foo=bar\nRUN echo $foo $baz\n"),
              Texts{"UndefinedVar: Usage of undefined variable '$foo' (line 2)"});
    EXPECT_EQ(judge("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n"), Texts{});
    EXPECT_EQ(judge("FROM scratch\nCOPY ${a:-b} ${c-d} ${e:+f} '$g' \\$h $1 /i\n"), Texts{});
    EXPECT_EQ(judge("FROM scratch\nENV a=$b b=1\nENV c=$b\nLABEL d=$c$c$x$x\n"),
              (Texts{"UndefinedVar: Usage of undefined variable '$b' (line 2)",
                     "UndefinedVar: Usage of undefined variable '$x' (line 4)"}));
}

TEST(UndefinedVarRule, Suggests) {
    EXPECT_EQ(judge("FROM scratch\nENV PATH=$PAHT:/tmp/bin\n"),
              Texts{"UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) "
                    "(line 2)"});
}

TEST(UndefinedVarRule, SaysNothingWithoutTheBase) {
    EXPECT_EQ(judge("FROM x\nLABEL a=$b\n", {}, "", false), Texts{});
}

TEST(UndefinedVarRule, IsSilencedByAComment) {
    EXPECT_EQ(judge("FROM scratch\n# check=skip=UndefinedVar set elsewhere\nLABEL a=$b\n"),
              Texts{});
}

TEST(WorkdirRelativePathRule, SaysNothingOfAPathThatTheBaseMaySet) {
    EXPECT_EQ(judge("FROM x\nWORKDIR ${HOME_OF_APP}\n", {}, "", false), Texts{});
    EXPECT_EQ(judge("FROM x\nWORKDIR app\n", {}, "", false).size(), 1u);
}

TEST(WorkdirRelativePathRule, JudgesTheFirstOfTheChain) {
    EXPECT_EQ(judge("FROM scratch\nWORKDIR app/\nWORKDIR sub\n"),
              Texts{"WorkdirRelativePath: Relative workdir \"app/\" can have unexpected results if "
                    "the base image changes (line 2)"});
    EXPECT_EQ(judge("FROM scratch\nWORKDIR /app\nWORKDIR sub\n"), Texts{});
    EXPECT_EQ(judge("FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR subdir/\n"), Texts{});
}

TEST(CopyIgnoredFileRule, FindsSourcesThatCanOnlyBeMissing) {
    const auto judge_copy = [](std::string_view text, std::string_view ignore) {
        return judge("FROM scratch\n" + std::string(text) + "\n", {}, ignore);
    };
    EXPECT_EQ(judge_copy("COPY Dockerfile .\nADD Dockerfile /windy", "Dockerfile"),
              (Texts{"CopyIgnoredFile: Attempting to Copy file \"Dockerfile\" that is excluded by "
                     ".dockerignore (line 2)",
                     "CopyIgnoredFile: Attempting to Add file \"Dockerfile\" that is excluded by "
                     ".dockerignore (line 3)"}));
    EXPECT_EQ(judge_copy("COPY --from=x /Dockerfile .", "Dockerfile"), Texts{});
    EXPECT_EQ(judge_copy("COPY ./Dockerfile .", "**\n!Dockerfile"), Texts{});
    EXPECT_EQ(judge_copy("COPY . .", "**\n!Dockerfile"), Texts{});
    EXPECT_EQ(judge_copy("COPY . .", ".*"), Texts{});
    EXPECT_EQ(judge_copy("COPY . .", "*").size(), 1u);
    EXPECT_EQ(judge_copy("COPY sub/a.txt /", "sub\n!sub/b.txt").size(), 1u);
    EXPECT_EQ(judge_copy("COPY sub/a.txt /", "!sub/b.txt\nsub").size(), 1u);
    EXPECT_EQ(judge_copy("COPY sub /sub", "sub\n!sub/a.txt"), Texts{});
    EXPECT_EQ(judge_copy("COPY sub/*.txt /", "sub\n!sub/a.txt"), Texts{});
    EXPECT_EQ(judge_copy("ADD https://x/Dockerfile /", "Dockerfile"), Texts{});
    EXPECT_EQ(judge_copy("# check=skip=CopyIgnoredFile\nCOPY f /", "f"), Texts{});
}

TEST(UndefinedArgInFromRule, NamesTheArgument) {
    EXPECT_EQ(judge("ARG base=scratch\nFROM $base\n"), Texts{});
    EXPECT_EQ(judge("FROM --platform=$BUILDPLATFORM scratch\n"), Texts{});
    EXPECT_EQ(judge("ARG DEBUG\nFROM scratch${DEBUG}\n"), Texts{});
    EXPECT_EQ(judge("ARG DEBUG\nFROM scra${DEBUG:-tch}\n"), Texts{});
    EXPECT_EQ(judge("FROM --platform=$BULIDPLATFORM scratch\n"),
              Texts{"UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you "
                    "mean BUILDPLATFORM?) (line 1)"});
    EXPECT_EQ(judge("ARG tag=latest\nFROM busybox:${tag}${version} AS b\n"),
              Texts{"UndefinedArgInFrom: FROM argument 'version' is not declared (line 2)"});
}

TEST(InvalidDefaultArgInFromRule, JudgesWhatDefaultsAloneGive) {
    EXPECT_EQ(judge("ARG VERSION\nFROM busybox:$VERSION\n", {{"VERSION", "latest"}}),
              Texts{"InvalidDefaultArgInFrom: Default value for ARG busybox:$VERSION results in "
                    "empty or invalid base image name (line 2)"});
    EXPECT_EQ(judge("ARG IMAGE\nFROM $IMAGE\n", {{"IMAGE", "busybox"}}).size(), 1u);
    EXPECT_EQ(judge("ARG IMAGE\nFROM $IMAGE\n").size(), 1u);  // besides the error of the build
    EXPECT_EQ(judge("ARG SFX=\"box:\"\nFROM busy${SFX}\n", {{"SFX", "box:1"}}).size(), 1u);
    EXPECT_EQ(judge("ARG V=\"latest\"\nFROM busybox:${V}\n", {{"V", "1"}}), Texts{});
    EXPECT_EQ(judge("ARG V\nFROM busybox:stable${V}\n", {{"V", "-musl"}}), Texts{});
}

TEST(InvalidBaseImagePlatformRule, ComparesNormalForms) {
    const auto file = dockerfile::parse("FROM a\n").file;
    const auto findings = [&](const char* actual, const char* wanted) {
        Findings found;
        lint_platform(file, file.stages[0], "a", oci::Platform::parse(actual),
                      oci::Platform::parse(wanted), found);
        return lines_of(found);
    };
    EXPECT_EQ(findings("linux/amd64", "linux/amd64"), Texts{});
    EXPECT_EQ(findings("linux/arm64", "linux/arm64/v8"), Texts{});
    EXPECT_EQ(findings("linux/amd64", "linux/arm64"),
              Texts{"InvalidBaseImagePlatform: Base image a was pulled with platform "
                    "\"linux/amd64\", expected \"linux/arm64\" for current build (line 1)"});
}

TEST(LintLog, KeepsEachFindingOnce) {
    LintLog log;
    const auto findings = dockerfile::parse("FROM a AS B\nFROM a as c\n").diagnostics;
    EXPECT_EQ(log.add(findings).size(), 2u);
    EXPECT_EQ(log.add(findings).size(), 0u);
    EXPECT_EQ(violation_text(log.all()),
              "lint violation found for rules: FromAsCasing, StageNameCasing");
}

class Warnings final : public Progress {
  public:
    void started(VertexId, const std::string&) override {}
    void output(VertexId, sandbox::OutputStream, std::string_view) override {}
    void status(VertexId, const std::string&, std::uint64_t, std::uint64_t) override {}
    void finished(VertexId, Outcome, const std::string&) override {}
    void warning(const std::string& text) override { texts.push_back(text); }
    Texts texts;
};

Texts warnings_about_names(std::string_view text, const Request& request) {
    Warnings warnings;
    warn_about_names(dockerfile::parse(text).file, request, warnings);
    return warnings.texts;
}

TEST(Names, AnArgumentThatIsSpeltNearlyAsAnArgIs) {
    Request request;
    request.build_args = {{"VERSON", "2"}, {"UNRELATED", "x"}, {"HTTP_PROXY", "y"}};
    const std::string_view file = "FROM scratch\nARG VERSION=1\n";
    EXPECT_EQ(warnings_about_names(file, request),
              Texts{"--build-arg VERSON is used by no ARG (did you mean VERSION?)"});
    EXPECT_EQ(warnings_about_names("FROM scratch\nARG VERSON\nARG VERSION\n", request), Texts{});
    EXPECT_EQ(warnings_about_names("FROM scratch\nARG HTTPS_PROXY\n", request), Texts{});
    request.build_args.push_back({"VERSION", "3"});
    EXPECT_EQ(warnings_about_names(file, request), Texts{}) << "scripts give what others need";
}

TEST(Names, AFromThatIsNearlyAStage) {
    const std::string file = "FROM scratch AS builder\nFROM scratch\n";
    const auto warnings = [&](const std::string& line, const Request& request = {}) {
        return warnings_about_names(file + line, request);
    };
    const Texts told{
        "Dockerfile:3: there is no stage \"buildr\", so it is an image (did you mean the stage "
        "builder?)"};
    EXPECT_EQ(warnings("COPY --from=buildr /a /b"), told);
    EXPECT_EQ(warnings("RUN --mount=from=buildr,target=/b true"), told);
    for (const char* fine :
         {"COPY --from=builder /a /b", "COPY --from=Builder /a /b", "COPY --from=0 /a /b",
          "COPY --from=rust /a /b", "COPY --from=busybox /a /b", "COPY --from=buildr:1 /a /b",
          "COPY a /b"})
        EXPECT_EQ(warnings(fine), Texts{}) << fine;
    Request request;
    request.build_contexts = {{"buildr", "."}};
    EXPECT_EQ(warnings("COPY --from=buildr /a /b", request), Texts{});
}

}  // namespace
}  // namespace shale::build
