// Lint rules and the options that silence them.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

using Findings = std::vector<std::string>;

Findings in_short(const std::vector<Diagnostic>& diagnostics) {
    Findings all;
    for (const Diagnostic& diagnostic : diagnostics)
        all.push_back(diagnostic.rule + ":" + std::to_string(diagnostic.lines.first));
    return all;
}

Findings file_findings(std::string_view text) {
    const ParseResult result = parse(text);
    EXPECT_TRUE(result.ok()) << first_message(result);
    return in_short(result.diagnostics);
}

Findings stage_findings(std::string_view text, std::size_t stage = 0) {
    return in_short(lint_stage(parse_good(text), stage));
}

std::string stage_text(std::string_view text) {
    const auto findings = lint_stage(parse_good(text), 0);
    return findings.size() == 1 ? findings[0].text : std::to_string(findings.size()) + " findings";
}

TEST(FileLint, CleanFileHasNoFindings) {
    EXPECT_EQ(file_findings("ARG A\n# base x\nFROM a AS base\nRUN x\nFROM base\nCMD [\"x\"]\n"),
              Findings{});
}

TEST(FileLint, StageNames) {
    EXPECT_EQ(file_findings("FROM a AS Base\n"), Findings{"StageNameCasing:1"});
    EXPECT_EQ(file_findings("FROM a AS b\nFROM c AS b\n"), Findings{"DuplicateStageName:2"});
    EXPECT_EQ(file_findings("FROM a AS scratch\nFROM b AS context\n"),
              (Findings{"ReservedStageName:1", "ReservedStageName:2"}));
    EXPECT_EQ(parse("FROM a AS Base\n").diagnostics.at(0).text,
              "Stage name 'Base' should be lowercase");
}

TEST(FileLint, FromAndAs) {
    EXPECT_EQ(file_findings("FROM --platform=$P a as b\n"), Findings{"FromAsCasing:1"});
    EXPECT_EQ(file_findings("from a AS b\n"), Findings{"FromAsCasing:1"});
    EXPECT_EQ(file_findings("from a as b\n"), Findings{});
    EXPECT_EQ(parse("FROM a as b\n").diagnostics.at(0).text,
              "'as' and 'FROM' keywords' casing do not match");
}

TEST(FileLint, WordCasingFollowsTheMajority) {
    EXPECT_EQ(file_findings("FROM a\nrun x\nRUN y\n"), Findings{"ConsistentInstructionCasing:2"});
    EXPECT_EQ(file_findings("from a\nrun x\nRUN y\n"), Findings{"ConsistentInstructionCasing:3"});
    EXPECT_EQ(file_findings("FROM a\nRun x\n"), Findings{"ConsistentInstructionCasing:2"});
    EXPECT_EQ(file_findings("FROM a\nCOPY <<run /x\nrun x\nrun\n"), Findings{});
    EXPECT_EQ(parse("FROM a\nRun x\n").diagnostics.at(0).text,
              "Command 'Run' should match the case of the command majority (uppercase)");
}

TEST(FileLint, Platform) {
    EXPECT_EQ(file_findings("FROM --platform=$TARGETPLATFORM a\n"),
              Findings{"RedundantTargetPlatform:1"});
    EXPECT_EQ(file_findings("FROM --platform=${TARGETPLATFORM} a\n"),
              Findings{"RedundantTargetPlatform:1"});
    EXPECT_EQ(file_findings("FROM --platform=$BUILDPLATFORM a\n"), Findings{});
    EXPECT_EQ(file_findings("FROM --platform=linux/amd64 a\n"),
              Findings{"FromPlatformFlagConstDisallowed:1"});
    EXPECT_EQ(file_findings("FROM --platform=linux/amd64 a AS build_amd64\n"), Findings{});
    EXPECT_EQ(file_findings("FROM --platform=linux/amd64 a AS linux\n"), Findings{});
}

TEST(FileLint, MaintainerAndBlankContinuation) {
    EXPECT_EQ(file_findings("FROM a\nMAINTAINER x\nRUN a \\\n\n  b\n"),
              (Findings{"MaintainerDeprecated:2", "NoEmptyContinuation:5"}));
}

TEST(FileLint, DescriptionsAreExperimental) {
    const std::string text =
        "# wrong text\nARG X\n# X good\nARG X\n# no\nFROM a AS b\n# b\nARG C D\n";
    EXPECT_EQ(file_findings(text), Findings{});
    EXPECT_EQ(file_findings("# check=experimental=all\n" + text),
              (Findings{"InvalidDefinitionDescription:3", "InvalidDefinitionDescription:7",
                        "InvalidDefinitionDescription:9"}));
    EXPECT_EQ(file_findings("# check=experimental=InvalidDefinitionDescription;skip=all\n"
                            "# x\n\nFROM a AS b\n"),
              Findings{"InvalidDefinitionDescription:4"});
}

TEST(FileLint, FindingsAreGivenDespiteMistakes) {
    EXPECT_EQ(in_short(parse("FROM a AS B\nFOO\n").diagnostics),
              (Findings{"StageNameCasing:1", ":2"}));
}

TEST(StageLint, JsonArguments) {
    EXPECT_EQ(stage_findings("FROM a\nENTRYPOINT x\nCMD y\n"),
              (Findings{"JSONArgsRecommended:2", "JSONArgsRecommended:3"}));
    EXPECT_EQ(stage_findings("FROM a\nSHELL [\"s\"]\nCMD y\n"), Findings{});
    EXPECT_EQ(stage_findings("FROM a\nCMD y\nSHELL [\"s\"]\n"), Findings{"JSONArgsRecommended:2"});
    EXPECT_EQ(stage_findings("FROM a AS b\nSHELL [\"s\"]\nFROM b AS c\nFROM c\nCMD y\n", 2),
              Findings{});
    EXPECT_EQ(stage_findings("FROM a AS b\nFROM b AS b\nCMD y\n", 1),
              Findings{"JSONArgsRecommended:3"});
    EXPECT_EQ(lint_stage(parse_good("FROM a\nCMD y\n"), 0, true).size(), 0u);
}

TEST(StageLint, RepeatedInstructionsPointAtTheEarlierOne) {
    EXPECT_EQ(stage_findings("FROM a\nCMD [\"1\"]\nCMD [\"2\"]\nCMD [\"3\"]\n"
                             "HEALTHCHECK NONE\nENTRYPOINT [\"x\"]\nHEALTHCHECK NONE\n"),
              (Findings{"MultipleInstructionsDisallowed:2", "MultipleInstructionsDisallowed:3",
                        "MultipleInstructionsDisallowed:5"}));
    EXPECT_EQ(stage_findings("FROM a\nCMD [\"1\"]\nFROM b\nCMD [\"2\"]\n", 1), Findings{});
}

TEST(StageLint, LegacyPairs) {
    EXPECT_EQ(stage_findings("FROM a\nENV k v\nLABEL k v\nENV k=v\n"),
              (Findings{"LegacyKeyValueFormat:2", "LegacyKeyValueFormat:3"}));
    EXPECT_EQ(stage_text("FROM a\nENV k v\n"),
              "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format");
}

TEST(StageLint, SecretNames) {
    for (const char* key : {"AUTH", "api_key", "DATABASE_PASSWORD", "GITHUB_TOKEN",
                            "secret_MESSAGE", "apikey", "MY_CREDENTIALS_X", "pword"})
        EXPECT_EQ(stage_findings(std::string("FROM a\nARG ") + key + "\nENV " + key + "=x\n"),
                  (Findings{"SecretsUsedInArgOrEnv:2", "SecretsUsedInArgOrEnv:3"}))
            << key;
    for (const char* key : {"monkey", "PUBLIC_KEY", "TOKEN_FILE", "AUTH_VERSION", "authority", "x"})
        EXPECT_EQ(stage_findings(std::string("FROM a\nENV ") + key + "=x\n"), Findings{}) << key;
    EXPECT_EQ(stage_text("FROM a\nARG TOKEN\n"),
              "Do not use ARG or ENV instructions for sensitive data (ARG \"TOKEN\")");
}

TEST(StageLint, Ports) {
    EXPECT_EQ(stage_findings("FROM a\nEXPOSE 80/TCP\nEXPOSE 127.0.0.1:80:80\nEXPOSE $X 80/udp\n"),
              (Findings{"ExposeProtoCasing:2", "ExposeInvalidFormat:3"}));
}

TEST(CheckOptions, Parts) {
    const CheckOptions options = parse_check_options(" skip=A, B ;error=true; experimental = all");
    EXPECT_EQ(options.skip, (Findings{"A", "B"}));
    EXPECT_TRUE(options.error);
    EXPECT_TRUE(options.experimental_all);
    EXPECT_FALSE(options.skip_all);
    EXPECT_TRUE(parse_check_options("skip=all").skip_all);
    EXPECT_FALSE(parse_check_options("").error);
}

TEST(CheckOptions, Errors) {
    EXPECT_EQ(invalid_text([] { parse_check_options("foo"); }), "invalid check option \"foo\"");
    EXPECT_EQ(invalid_text([] { parse_check_options("skip=a;foo=b"); }),
              "invalid check option \"foo\"");
    EXPECT_EQ(invalid_text([] { parse_check_options("skip=a;"); }), "invalid check option \"\"");
    EXPECT_EQ(invalid_text([] { parse_check_options("error=maybe"); }),
              "failed to parse check option \"error=maybe\"");
}

TEST(CheckDirective, SilencesAndIsJudged) {
    const std::string text = "FROM a AS B\nMAINTAINER x\n";
    EXPECT_EQ(file_findings("# check=skip=all\n" + text), Findings{});
    EXPECT_EQ(file_findings("# check=skip=StageNameCasing\n" + text),
              Findings{"MaintainerDeprecated:3"});
    EXPECT_EQ(stage_findings("# check=skip=JSONArgsRecommended\nFROM a\nCMD x\n"), Findings{});
    const ParseResult bad = parse("\n# x\n# check=y\nFROM a\n");
    EXPECT_TRUE(bad.ok()) << "a look-alike behind a comment is a comment";
    const ParseResult wrong = parse("# check=y\nFROM a\n");
    EXPECT_EQ(error_messages(wrong),
              Findings{"failed to parse check options: invalid check option \"y\""});
    EXPECT_EQ(wrong.diagnostics[0].lines, (LineRange{1, 1}));
}

TEST(CheckDirective, IsReplacedByTheCaller) {
    const std::string text = "# check=skip=all;error=true\nFROM a AS B\n";
    const ParseResult result = parse(text, "Dockerfile", "");
    EXPECT_EQ(in_short(result.diagnostics), Findings{"StageNameCasing:2"});
    EXPECT_EQ(result.file.check, "");
    EXPECT_THROW(parse(text, "Dockerfile", "nonsense"), Error);
}

TEST(CheckComment, SilencesOneInstruction) {
    EXPECT_EQ(file_findings("FROM a\n# check=skip=StageNameCasing it is the name of a person\n"
                            "# more\nFROM a AS Bob\n\nFROM a AS Eve\n"),
              Findings{"StageNameCasing:6"});
    EXPECT_EQ(stage_findings("FROM a\n# check=skip=all\nENV TOKEN x\nENV TOKEN=x\n"),
              Findings{"SecretsUsedInArgOrEnv:4"});
    EXPECT_EQ(stage_findings("FROM a\n# check=nonsense\nENV TOKEN=x\n"),
              Findings{"SecretsUsedInArgOrEnv:3"});
}

}  // namespace
}  // namespace shale::dockerfile
