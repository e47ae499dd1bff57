// Places: which word of which line a diagnostic points at, and how that looks.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

// The source between the ends of the place of the first diagnostic; "(none)" without a place.
std::string blamed(const std::string& text) {
    const ParseResult result = parse(text);
    if (result.diagnostics.empty() || !result.diagnostics[0].place.known()) return "(none)";
    const SourceSpan place = result.diagnostics[0].place;
    const std::string& line = result.file.source.at(place.begin.line - 1);
    const bool one_line = place.begin.line == place.end.line;
    return line.substr(place.begin.column - 1,
                       one_line ? place.end.column - place.begin.column : std::string::npos);
}

TEST(Place, IsTheWordToBlame) {
    struct Row {
        const char* instruction;
        const char* word;
    };
    constexpr Row kRows[] = {
        {"FNTRYPOINT x", "FNTRYPOINT"},
        {"RUN --network=none --mont=type=bind x", "--mont=type=bind"},
        {"RUN --mount=type=cache,target=/c --mount=type=bnd,target=/b x",
         "--mount=type=bnd,target=/b"},
        {"RUN --network=nne x", "--network=nne"},
        {"RUN --security=x y", "--security=x"},
        {"COPY --chown=a --chown=b a b", "--chown=b"},
        {"COPY --from=\"a b\" --lnk a b", "--lnk"},
        {"COPY a <<E\nE", "<<E"},
        {"COPY only", "COPY"},
        {"ENV a=1 b c=2", "b"},
        {"ENV a=1 =2", "=2"},
        {"ENV a", "ENV"},
        {"ARG a =b", "=b"},
        {"CMD [\"a\", 1]", "[\"a\", 1]"},
        {"FROM a AS 1x", "1x"},
        {"VOLUME [\"/a\", \" \"]", "[\"/a\", \" \"]"},
        {"SHELL bash", "bash"},
        {"HEALTHCHECK FOO x", "FOO"},
        {"HEALTHCHECK --interval=1s --timeout=5 CMD x", "--timeout=5"},
        {"HEALTHCHECK --retries=x CMD x", "--retries=x"},
        {"ONBUILD FROM x", "FROM x"},
        {"RUN cat <<EOF", "<<EOF"},
        {"ENV a=1 \\\n  b=2 \\\n  c", "c"},
        {"  WORKDIR", "WORKDIR"},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.instruction);
        EXPECT_EQ(blamed(std::string("FROM a\n") + row.instruction), row.word);
    }
}

TEST(Place, OfAFindingOfLint) {
    EXPECT_EQ(blamed("FROM a AS Base\n"), "Base");
    EXPECT_EQ(blamed("FROM a as base\n"), "as");
    EXPECT_EQ(blamed("FROM --platform=linux/amd64 a\n"), "--platform=linux/amd64");
    EXPECT_EQ(blamed("FROM a\nRun x\n"), "Run");
    EXPECT_EQ(blamed("FROM a AS b\nFROM c AS b\n"), "b");
    const File file = parse_good("FROM a\nENV A=1 TOKEN=x\nEXPOSE 80 443/TCP\n");
    const auto findings = lint_stage(file, 0);
    ASSERT_EQ(findings.size(), 2u);
    EXPECT_EQ(findings[0].place, (SourceSpan{{2, 9}, {2, 16}}));
    EXPECT_EQ(findings[1].place, (SourceSpan{{3, 11}, {3, 18}}));
}

TEST(Place, CountsFromTheStartOfThePhysicalLine) {
    EXPECT_EQ(parse("\xEF\xBB\xBF"
                    "  FORM a\n")
                  .diagnostics.at(0)
                  .place,
              (SourceSpan{{1, 3}, {1, 7}}));
    const Instruction run = parse_instruction("RUN --network=none \\\n# c\n   echo \\\nx");
    EXPECT_EQ(run.word.span, (SourceSpan{{2, 1}, {2, 4}}));
    EXPECT_EQ(run.flags.at(0).span, (SourceSpan{{2, 5}, {2, 19}}));
    EXPECT_EQ(run.flags.at(0).text, "--network=none");
    EXPECT_EQ(run.operands.at(0).span, (SourceSpan{{4, 4}, {5, 2}}));
    EXPECT_EQ(run.operands.at(0).text, "echo x");
}

TEST(Place, OfATriggerIsNowhere) {
    const ParseResult good = parse_trigger("COPY --link a b", {9, 9});
    EXPECT_FALSE(good.file.stages.at(0).instructions.at(0).flags.at(0).span.known());
    EXPECT_FALSE(parse_trigger("COPY --lnk a b", {9, 9}).diagnostics.at(0).place.known());
}

std::string pointed_excerpt(const std::string& text) {
    const ParseResult result = parse(text);
    const Diagnostic& first = result.diagnostics.at(0);
    return excerpt(result.file, first.lines, first.place);
}

TEST(Carets, StandUnderTheWord) {
    EXPECT_EQ(pointed_excerpt("FROM a\nRUN --mont=x y\nRUN z"), "Dockerfile:2:5\n"
                                                                "--------------------\n"
                                                                "   1 |     FROM a\n"
                                                                "   2 | >>> RUN --mont=x y\n"
                                                                "     |         ^^^^^^^^\n"
                                                                "   3 |     RUN z\n"
                                                                "--------------------\n");
}

TEST(Carets, KnowTabsAndWideCharacters) {
    const std::string text = pointed_excerpt("FROM a\nENV\t\u00e4=1\tb");
    EXPECT_NE(text.find(">>> ENV\t\u00e4=1\tb\n     |        \t   \t^\n"), std::string::npos)
        << text;
}

TEST(Carets, OfAWordOverSeveralLinesEndWithTheFirst) {
    const File file = parse_good("FROM a\nRUN x \\\n  y\n");
    EXPECT_NE(excerpt(file, {2, 3}, file.stages[0].instructions[0].operands[0].span)
                  .find("   2 | >>> RUN x \\\n     |         ^^^\n   3 | >>>   y\n"),
              std::string::npos);
}

TEST(Carets, AreAbsentWithoutAPlace) {
    const File file = parse_good("FROM a\nRUN x\n");
    EXPECT_EQ(excerpt(file, {2, 2}, {}), excerpt(file, {2, 2}));
    EXPECT_EQ(excerpt(file, {2, 2}, {{1, 1}, {1, 2}}), excerpt(file, {2, 2}));
}

TEST(Culprit, IsTheLongestWordTheMessageQuotes) {
    const Instruction copy = parse_instruction("COPY --chown=x a ${b:=c} /d/");
    const auto culprit = [&](std::string_view message) {
        return find_culprit(copy.flags, copy.operands, message);
    };
    EXPECT_EQ(culprit("failed to process \"${b:=c}\": unsupported modifier"),
              copy.operands[1].span);
    EXPECT_FALSE(culprit("NO SUCH THING").known());
    EXPECT_EQ(culprit("\"/a\": not found (did you mean \"${b:=c}\"?)"), copy.operands[0].span)
        << "a proposal is not what is wrong";
    const Instruction env = parse_instruction("ENV a=1 b=${c:=d}");
    EXPECT_EQ(find_culprit(env.flags, env.operands, "failed to process \"${c:=d}\": unsupported"),
              (SourceSpan{{2, 11}, {2, 18}}));
}

}  // namespace
}  // namespace shale::dockerfile
