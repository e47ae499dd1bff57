// Logical lines: the line-level conformance examples, then directives, comments, continuation,
// encodings and limits.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

std::string run_text(std::string_view text) {
    return parse_as<RunCommand>(text).command.argv.at(0);
}

using Words = std::vector<std::string>;

TEST(LineConformance, CommentInsideContinuation) {
    EXPECT_EQ(run_text("RUN a \\\n# c\n  b"), "a   b");
}

TEST(LineConformance, BlankLineInsideContinuationWarns) {
    const ParseResult result = parse("FROM a\nRUN a \\\n\nb\n");
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(std::get<RunCommand>(result.file.stages[0].instructions[0].value).command.argv,
              Words{"a b"});
    ASSERT_EQ(result.diagnostics.size(), 1u);
    EXPECT_EQ(result.diagnostics[0].severity, Severity::Warning);
    EXPECT_EQ(result.diagnostics[0].rule, "NoEmptyContinuation");
}

TEST(LineConformance, ContinuationJoinsWithoutBlank) {
    EXPECT_EQ(run_text("RUN a\\\nb"), "ab");
    EXPECT_EQ(run_text("RUN ech\\\no hi"), "echo hi");
}

TEST(LineConformance, DoubledEscapeIsNoContinuation) {
    const File file = parse_good("FROM a\nCOPY x c:\\\\\nRUN y\n");
    ASSERT_EQ(file.stages[0].instructions.size(), 2u);
    EXPECT_EQ(std::get<Copy>(file.stages[0].instructions[0].value).destination, "c:\\\\");
}

TEST(LineConformance, JsonWithNumberIsAnError) {
    EXPECT_EQ(parse_error("run [\"a\", 1]"),
              "when using JSON array syntax, arrays must be comprised of strings only");
}

TEST(LineConformance, SingleQuotedJsonIsShellForm) {
    const Cmd cmd = parse_as<Cmd>("CMD ['a']");
    EXPECT_FALSE(cmd.command.exec_form);
    EXPECT_EQ(cmd.command.argv, Words{"['a']"});
}

TEST(LineConformance, EnvWithQuotesAndEscapes) {
    const Env env = parse_as<Env>("ENV a=b\\ c d=\"e f\"");
    ASSERT_EQ(env.pairs.size(), 2u);
    EXPECT_EQ(env.pairs[0].key, "a");
    EXPECT_EQ(expand(env.pairs[0].value, lookup_fixed), "b c");
    EXPECT_EQ(env.pairs[1].key, "d");
    EXPECT_EQ(expand(env.pairs[1].value, lookup_fixed), "e f");
}

TEST(LineConformance, LegacyEnvTakesTheRest) {
    const Env env = parse_as<Env>("ENV a b=c");
    ASSERT_EQ(env.pairs.size(), 1u);
    EXPECT_EQ(env.pairs[0].key, "a");
    EXPECT_EQ(env.pairs[0].value, "b=c");
}

TEST(LineConformance, QuotedLabelKey) {
    const Label label = parse_as<Label>("LABEL \"a b\"=c");
    ASSERT_EQ(label.pairs.size(), 1u);
    EXPECT_EQ(expand(label.pairs[0].key, lookup_fixed), "a b");
}

TEST(LineConformance, QuotesProtectNoBlankInCopy) {
    EXPECT_EQ(parse_as<Copy>("COPY \"my file\" /x").sources, (Words{"\"my", "file\""}));
    EXPECT_THROW(expand("\"my", lookup_fixed), Error);
    EXPECT_EQ(parse_as<Copy>("COPY [\"my file\", \"/x\"]").sources, Words{"my file"});
}

TEST(LineConformance, ExposeIsSortedAsText) {
    EXPECT_EQ(parse_as<Expose>("EXPOSE 80 443/udp").ports, (Words{"443/udp", "80"}));
}

TEST(LineConformance, StageNameIsLowered) {
    EXPECT_EQ(parse_good("FROM a AS B").stages[0].from.stage_name, "b");
}

TEST(LineConformance, ThreeArgs) {
    const Arg arg = parse_as<Arg>("ARG a=1 b c=\"2 3\"");
    ASSERT_EQ(arg.declarations.size(), 3u);
    EXPECT_EQ(arg.declarations[0].default_value, "1");
    EXPECT_EQ(arg.declarations[1].name, "b");
    EXPECT_FALSE(arg.declarations[1].default_value);
    EXPECT_EQ(expand(*arg.declarations[2].default_value, lookup_fixed), "2 3");
}

TEST(LineConformance, HealthcheckNone) {
    EXPECT_EQ(parse_as<Healthcheck>("HEALTHCHECK none").test, Words{"NONE"});
}

TEST(LineConformance, OnbuildText) {
    EXPECT_EQ(parse_as<Onbuild>("ONBUILD COPY . /src").text, "COPY . /src");
}

TEST(LineConformance, LateEscapeDirectiveIsAComment) {
    EXPECT_EQ(parse_good("# comment\n# escape=`\nFROM a\n").escape, '\\');
}

TEST(Continuation, MayHaveBlanksBehindTheEscape) {
    EXPECT_EQ(run_text("RUN a \\  \t\nb"), "a b");
}

TEST(Continuation, EscapeAloneOnALine) {
    EXPECT_EQ(run_text("RUN a \\\n\\\nb"), "a b");
}

TEST(Continuation, AtTheEndOfTheFileIsDropped) {
    EXPECT_EQ(run_text("RUN a \\"), "a");
}

TEST(Continuation, CommentLineDoesNotContinue) {
    const File file = parse_good("FROM a\n# c \\\nRUN x\n");
    EXPECT_EQ(file.stages[0].instructions.size(), 1u);
}

TEST(Continuation, LinesCoverAllPhysicalLines) {
    const Instruction run = parse_instruction("RUN a \\\n# c\n\\\n b");
    EXPECT_EQ(run.lines, (LineRange{2, 5}));
    EXPECT_EQ(run.original, "RUN a  b");
}

TEST(Continuation, MayCutTheInstructionWord) {
    EXPECT_EQ(run_text("RU\\\nN x"), "x");
}

TEST(Continuation, FileOfNothingButContinuationsHasNoInstruction) {
    EXPECT_EQ(first_message(parse("\\\n\\\n")), "file with no instructions");
}

TEST(Directives, EscapeChangesContinuationAndWords) {
    const File file = parse_good("# escape=`\nFROM a\nCOPY x c:\\\nENV k=a` b\nRUN x `\n  y\n");
    EXPECT_EQ(file.escape, '`');
    ASSERT_EQ(file.stages[0].instructions.size(), 3u);
    EXPECT_EQ(std::get<Env>(file.stages[0].instructions[1].value).pairs[0].value, "a` b");
    EXPECT_EQ(std::get<RunCommand>(file.stages[0].instructions[2].value).command.argv,
              Words{"x   y"});
}

TEST(Directives, AreCaseInsensitiveAndMayHaveBlanks) {
    EXPECT_EQ(parse_good("#   EsCaPe  =   `   \nFROM a\n").escape, '`');
}

TEST(Directives, EndAtTheFirstOtherLine) {
    for (const char* text : {"\n# escape=`\nFROM a\n", "# x=y\n# escape=`\nFROM a\n",
                             "FROM a\n# escape=`\n", "#\n# escape=`\nFROM a\n",
                             "# escape\n# escape=`\nFROM a\n", "# 1escape=x\n# escape=`\nFROM a"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(parse_good(text).escape, '\\');
    }
}

TEST(Directives, MayNotRepeat) {
    EXPECT_EQ(first_message(parse("# escape=`\n# escape=`\nFROM a\n")),
              "only one escape parser directive can be used");
    EXPECT_EQ(first_message(parse("# syntax=a\n# Syntax=b\nFROM a\n")),
              "only one syntax parser directive can be used");
}

TEST(Directives, EscapeTakesTwoValuesOnly) {
    EXPECT_EQ(first_message(parse("# escape=x\nFROM a\n")),
              "invalid escape token 'x' does not match ` or \\");
    EXPECT_EQ(first_message(parse("# escape=\\\\\nFROM a\n")),
              "invalid escape token '\\\\' does not match ` or \\");
}

TEST(Directives, SyntaxAndCheckAreKept) {
    const File file =
        parse_good("# syntax=docker/dockerfile:1 opt\n# check=skip=all;error=true\nFROM a\n");
    EXPECT_EQ(file.syntax, "docker/dockerfile:1 opt");
    EXPECT_EQ(file.check, "skip=all;error=true");
    EXPECT_TRUE(file.stages[0].comments.empty());
}

TEST(Directives, SyntaxIsFoundInOtherCoats) {
    EXPECT_EQ(parse("#!/usr/bin/env x\n# syntax=a/b\nFROM a\n").file.syntax, "a/b");
    EXPECT_EQ(parse("// syntax=a/b\n").file.syntax, "a/b");
    EXPECT_EQ(parse("{\"a\": [1, {\"syntax\": \"no\"}], \"syntax\": \"a/b\"}\n").file.syntax,
              "a/b");
    EXPECT_EQ(parse("{\"syntax\": 1}").file.syntax, "");
    EXPECT_EQ(parse("{\"syntax\": \"a\"} x").file.syntax, "");
    EXPECT_EQ(parse("\xEF\xBB\xBF# syntax=a\nFROM a\n").file.syntax, "a");
    EXPECT_EQ(parse("#!x").file.syntax, "");
}

TEST(Comments, MayBeIndentedAndAreAttached) {
    const File file = parse_good("  # base DESCRIPTION\nFROM a AS base\n\t# one\n\n# two\nRUN x\n");
    EXPECT_EQ(file.stages[0].comments, Words{"base DESCRIPTION"});
    EXPECT_EQ(file.stages[0].instructions[0].comments, (Words{"one", "two"}));
}

TEST(Comments, BareHashResets) {
    EXPECT_EQ(parse_good("# one\n#\n# two\nFROM a\n").stages[0].comments, Words{"two"});
}

TEST(Comments, HashElsewhereIsData) {
    EXPECT_EQ(run_text("RUN echo # x"), "echo # x");
}

TEST(Encoding, ByteOrderMarkAndCarriageReturns) {
    const File file = parse_good("\xEF\xBB\xBF# escape=`\r\nFROM a\r\nRUN x `\r\n  y\r\n");
    EXPECT_EQ(file.escape, '`');
    EXPECT_EQ(std::get<RunCommand>(file.stages[0].instructions[0].value).command.argv,
              Words{"x   y"});
}

TEST(Encoding, UnicodeBlanksInFrontAreIgnored) {
    const File file = parse_good("\u3000\u00a0FROM a\n\u2003# c\n");
    EXPECT_EQ(file.stages.size(), 1u);
}

TEST(Encoding, TabsAndFormFeedsSeparateWords) {
    EXPECT_EQ(parse_as<Copy>("COPY\ta\v\fb\t/c").sources, (Words{"a", "b"}));
}

TEST(Limits, PhysicalLine) {
    const std::string fits(65535 - 4, 'x');
    EXPECT_TRUE(parse("FROM a\nRUN " + fits + "\nRUN y\n").ok());
    EXPECT_TRUE(parse("FROM a\nRUN " + fits).ok());
    const ParseResult over = parse("FROM a\nRUN " + fits + "x\nRUN y\n");
    EXPECT_EQ(error_messages(over),
              Words{"dockerfile line greater than max allowed size of 65535"});
    EXPECT_EQ(over.diagnostics[0].lines, (LineRange{2, 2}));
}

TEST(Limits, LogicalLineHasNone) {
    std::string text = "FROM a\nRUN x";
    for (int i = 0; i < 100; ++i)
        text += "\\\n" + std::string(2000, 'y');
    EXPECT_EQ(run_text(text.substr(7)).size(), 200'001u);
}

TEST(Limits, HeredocLine) {
    const std::string text = "FROM a\nCOPY <<E /x\n" + std::string(65536, 'x') + "\nE\n";
    EXPECT_EQ(first_message(parse(text)), "dockerfile line greater than max allowed size of 65535");
}

TEST(Emptiness, HasThreeFaces) {
    EXPECT_EQ(first_message(parse("")), "the Dockerfile cannot be empty");
    EXPECT_EQ(first_message(parse("\n # c\n\n")), "file with no instructions");
    EXPECT_EQ(first_message(parse("ARG x\n")), "dockerfile contains no stages to build");
}

}  // namespace
}  // namespace shale::dockerfile
