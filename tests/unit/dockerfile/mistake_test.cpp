// Reporting: several mistakes in one run, spelling hints, and no avalanche behind a single mistake.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

using Words = std::vector<std::string>;

TEST(Mistakes, AreCollectedInLineOrder) {
    const ParseResult result = parse("FROM a\n"
                                     "ENV a\n"
                                     "RUN --mont=x y\n"
                                     "WORKDIR /ok\n"
                                     "FNTRYPOINT z\n"
                                     "COPY a\n"
                                     "FROM b AS 1x\n"
                                     "CMD [1]\n"
                                     "RUN cat <<E\n");
    EXPECT_EQ(error_messages(result),
              (Words{"ENV must have two arguments",
                     "dockerfile parse error on line 3: unknown flag: --mont (did you mean mount?)",
                     "dockerfile parse error on line 5: unknown instruction: FNTRYPOINT (did you "
                     "mean ENTRYPOINT?)",
                     "dockerfile parse error on line 6: COPY requires at least two arguments, but "
                     "only one was provided. Destination could not be determined",
                     "dockerfile parse error on line 7: invalid name for build stage: \"1x\", name "
                     "can't start with a number or contain symbols",
                     "when using JSON array syntax, arrays must be comprised of strings only",
                     "unterminated heredoc"}));
    // What is right is there all the same.
    EXPECT_EQ(result.file.stages.size(), 2u);
    EXPECT_EQ(result.file.stages[0].instructions.size(), 1u);
}

TEST(Mistakes, TextAndHintAreApart) {
    const ParseResult result = parse("FROM a\nFNTRYPOINT x\n");
    ASSERT_EQ(result.diagnostics.size(), 1u);
    const Diagnostic& diagnostic = result.diagnostics[0];
    EXPECT_EQ(diagnostic.text, "dockerfile parse error on line 2: unknown instruction: FNTRYPOINT");
    EXPECT_EQ(diagnostic.hint, "did you mean ENTRYPOINT?");
    EXPECT_EQ(diagnostic.lines, (LineRange{2, 2}));
    EXPECT_FALSE(result.ok());
}

TEST(Mistakes, HintFollowsTheCaseOfTheUser) {
    const auto hint = [](const char* text) { return parse(text).diagnostics.at(0).hint; };
    EXPECT_EQ(hint("FROM a\nrnu x\n"), "did you mean run?");
    EXPECT_EQ(hint("FROM a\nRnu x\n"), "did you mean RUN?");
    EXPECT_EQ(hint("FORM a\n"), "did you mean FROM?");
    EXPECT_EQ(hint("FROM a\nXYZZYPLUGH x\n"), "");
}

TEST(Mistakes, InstructionBeforeFromIsReportedOnce) {
    EXPECT_EQ(error_messages(parse("RUN x\nENV a=b\nFROM a\n")),
              Words{"no build stage in current context"});
    EXPECT_EQ(parse("ARG x\nRUN y\nFROM a\n").diagnostics.at(0).lines, (LineRange{2, 2}));
}

TEST(Mistakes, MisspeltFromIsTheOnlyOne) {
    EXPECT_EQ(error_messages(parse("FORM a\nRUN x\nENV a=b\n")).size(), 1u);
    EXPECT_EQ(error_messages(parse("from a b\nRUN x\n")).size(), 1u);
}

TEST(Mistakes, MisspeltRunSwallowsItsScript) {
    EXPECT_EQ(error_messages(parse("FROM a\nRUNN <<E\nfoo\nbar\nE\nRUN x\n")).size(), 1u);
    // Without a terminator it was no heredoc, and the following lines are looked at.
    EXPECT_EQ(error_messages(parse("FROM a\nRUNN <<E\nENV a\n")).size(), 2u);
}

TEST(Mistakes, AreLimitedInNumber) {
    std::string text = "FROM a\n";
    for (int i = 0; i < 10'000; ++i)
        text += "NONSENSE\n";
    EXPECT_LE(parse(text).diagnostics.size(), 200u);
}

TEST(Mistakes, RangeCoversTheWholeInstruction) {
    EXPECT_EQ(parse("FROM a\nRUN --foo \\\n  x \\\n  y\n").diagnostics.at(0).lines,
              (LineRange{2, 4}));
}

TEST(GlobalArgs, AreApartFromStages) {
    const File file = parse_good("ARG A=1\nARG B C=$A\nFROM x\nARG D\n");
    ASSERT_EQ(file.global_args.size(), 2u);
    EXPECT_EQ(std::get<Arg>(file.global_args[1].value).declarations.size(), 2u);
    EXPECT_EQ(file.stages[0].instructions.size(), 1u);
}

TEST(Trigger, IsOneInstruction) {
    const ParseResult good = parse_trigger("RUN make", {3, 4});
    ASSERT_TRUE(good.ok());
    EXPECT_EQ(good.file.stages.at(0).instructions.at(0).lines, (LineRange{3, 4}));
    for (const char* text : {"", "RUN a\nRUN b", "# c"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(error_messages(parse_trigger(text, {3, 3})),
                  Words{"onbuild trigger should be a single expression"});
    }
}

TEST(Trigger, ReportsItsMistakesForTheGivenLines) {
    const ParseResult bad = parse_trigger("ENV a", {9, 9});
    ASSERT_EQ(bad.diagnostics.size(), 1u);
    EXPECT_EQ(bad.diagnostics[0].lines, (LineRange{9, 9}));
    EXPECT_FALSE(parse_trigger("FROM a", {9, 9}).ok());
}

}  // namespace
}  // namespace shale::dockerfile
