// Heredocs: what counts as one, how bodies are read, and how COPY, RUN and ONBUILD use them.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

using Words = std::vector<std::string>;

// The heredocs of RUN with `word` behind "cat", each word's body being "x\n".
std::vector<Heredoc> heredocs_of(const std::string& word, const std::string& name) {
    return parse_as<RunCommand>("RUN cat " + word + "\nx\n" + name + "\n").command.heredocs;
}

TEST(HeredocWord, Forms) {
    struct Row {
        const char* word;
        const char* name;
        bool expand;
        bool strip_tabs;
    };
    constexpr Row kRows[] = {
        {"<<EOF", "EOF", true, false},      {"<<-EOF", "EOF", true, true},
        {"<< EOF", "EOF", true, false},     {"3<<EOF", "EOF", true, false},
        {"<<\"EOF\"", "EOF", false, false}, {"<<'EOF'", "EOF", false, false},
        {"<<E\"O\"F", "EOF", false, false}, {"<<\\EOF", "EOF", false, false},
        {"<<- EOF", "EOF", true, true},     {"<<'E F'", "E F", false, false},
        {"<<$X", "$X", true, false},        {"<<a\"\\$b\\c\"", "a$b\\c", false, false},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.word);
        const auto found = heredocs_of(row.word, row.name);
        ASSERT_EQ(found.size(), 1u);
        EXPECT_EQ(found[0].name, row.name);
        EXPECT_EQ(found[0].expand, row.expand);
        EXPECT_EQ(found[0].strip_tabs, row.strip_tabs);
        EXPECT_EQ(found[0].body, "x\n");
    }
}

TEST(HeredocWord, LookAlikes) {
    for (const char* word : {"<<<EOF", "<<", "a<<EOF", "\"<<EOF\"", "'<<EOF'", "<<A<<B", "<<''",
                             "\\<<EOF x", "echo \"it's <<EOF", "<EOF", "<<<<EOF"}) {
        SCOPED_TRACE(word);
        EXPECT_TRUE(parse_as<RunCommand>(std::string("RUN cat ") + word).command.heredocs.empty());
    }
}

TEST(HeredocWord, OpenQuoteIsAnError) {
    EXPECT_EQ(
        parse_error("RUN cat <<'EOF"),
        "failed to process \"<<'EOF\": unexpected end of statement while looking for matching "
        "single-quote");
}

TEST(HeredocBody, IsRaw) {
    const RunCommand run =
        parse_as<RunCommand>("RUN cat <<E\n# no comment\na \\\n\nx\r\n  E\nE \nE\nRUN y\n");
    ASSERT_EQ(run.command.heredocs.size(), 1u);
    EXPECT_EQ(run.command.heredocs[0].body, "# no comment\na \\\n\nx\r\n  E\nE \n");
}

TEST(HeredocBody, TerminatorMayEndWithCarriageReturn) {
    const RunCommand run = parse_as<RunCommand>("RUN cat <<E\r\nx\r\nE\r\n");
    EXPECT_EQ(run.command.heredocs.at(0).body, "x\r\n");
}

TEST(HeredocBody, DashStripsTabsAndTheTerminatorsToo) {
    const RunCommand run = parse_as<RunCommand>("RUN cat <<-E\n\t\ta\n\t b\tc\n  d\n\t\tE\n");
    const Heredoc heredoc = run.command.heredocs.at(0);
    EXPECT_EQ(heredoc.body, "a\n b\tc\n  d\n");
    EXPECT_EQ(heredoc.raw_body, "\t\ta\n\t b\tc\n  d\n");
}

TEST(HeredocBody, WithoutDashATabHidesTheTerminator) {
    EXPECT_EQ(parse_as<RunCommand>("RUN cat <<E\n\tE\nE\n").command.heredocs.at(0).body, "\tE\n");
}

TEST(HeredocBody, Unterminated) {
    const ParseResult result = parse("FROM a\nRUN cat <<E\nx\n E\n");
    EXPECT_EQ(error_messages(result), Words{"unterminated heredoc"});
    EXPECT_EQ(result.diagnostics[0].lines, (LineRange{2, 4}));
}

TEST(HeredocBody, EscapeDirectiveChangesNothing) {
    const File file = parse_good("# escape=`\nFROM a\nCOPY <<E /x\na`\n\\$A\nE\n");
    const Heredoc& heredoc = std::get<Copy>(file.stages[0].instructions.at(0).value).heredocs.at(0);
    EXPECT_EQ(heredoc.body, "a`\n\\$A\n");
    EXPECT_EQ(expand_heredoc(heredoc.body, lookup_fixed), "a`\n$A\n");
}

TEST(HeredocBody, SeveralFollowInOrder) {
    const Instruction instruction = parse_instruction("RUN a <<A 3<<-B\n1\nA\n\t2\nB\n");
    const auto& heredocs = std::get<RunCommand>(instruction.value).command.heredocs;
    ASSERT_EQ(heredocs.size(), 2u);
    EXPECT_EQ(heredocs[0].body, "1\n");
    EXPECT_EQ(heredocs[1].body, "2\n");
    EXPECT_EQ(instruction.lines, (LineRange{2, 6}));
}

TEST(CopyHeredoc, SourcesAndFilesAreSeparate) {
    const Copy copy = parse_as<Copy>("COPY --chmod=600 f <<A g <<'B' /d/\n1\nA\n2\nB\n");
    EXPECT_EQ(copy.sources, (Words{"f", "g"}));
    EXPECT_EQ(copy.destination, "/d/");
    EXPECT_EQ(copy.chmod, "600");
    ASSERT_EQ(copy.heredocs.size(), 2u);
    EXPECT_EQ(copy.heredocs[0].name, "A");
    EXPECT_TRUE(copy.heredocs[0].expand);
    EXPECT_FALSE(copy.heredocs[1].expand);
}

TEST(CopyHeredoc, BlankBehindTheArrows) {
    const Copy copy = parse_as<Copy>("COPY << EOF /d\nx\nEOF\n");
    EXPECT_TRUE(copy.sources.empty());
    EXPECT_EQ(copy.heredocs.at(0).body, "x\n");
}

TEST(CopyHeredoc, OfTwoWithOneNameTheLastBodyWins) {
    const Copy copy = parse_as<Copy>("ADD <<A <<A /d/\n1\nA\n2\nA\n");
    ASSERT_EQ(copy.heredocs.size(), 2u);
    EXPECT_EQ(copy.heredocs[0].body, "2\n");
    EXPECT_EQ(copy.heredocs[1].body, "2\n");
}

TEST(CopyHeredoc, CanNotBeTheDestination) {
    EXPECT_EQ(parse_error("COPY f <<E\nx\nE\n"),
              "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination");
    EXPECT_EQ(parse_error("ADD f <<-E\nx\nE\n"),
              "dockerfile parse error on line 2: ADD cannot accept a heredoc as a destination");
}

TEST(JsonForm, HasNoHeredocs) {
    EXPECT_TRUE(parse_as<RunCommand>("RUN [\"cat\", \"<<EOF\"]").command.heredocs.empty());
    EXPECT_EQ(parse_as<Copy>("COPY [\"<<EOF\", \"/x\"]").sources, Words{"<<EOF"});
}

TEST(OtherInstructions, HaveNoHeredocs) {
    EXPECT_EQ(parse_as<Cmd>("CMD cat <<EOF").command.argv, Words{"cat <<EOF"});
}

HeredocRun run_of(std::string_view text) {
    return heredoc_run(parse_as<RunCommand>(text).command);
}

TEST(RunHeredoc, BodyIsTheScript) {
    const HeredocRun run = run_of("RUN <<EOF\necho $x\nEOF\n");
    EXPECT_EQ(run.script, "echo $x\n");
    EXPECT_FALSE(run.file);
    EXPECT_EQ(run_of("RUN --network=none <<-'EOF'\n\techo\n\tEOF\n").script, "echo\n");
}

TEST(RunHeredoc, ShebangMakesAFile) {
    const HeredocRun run = run_of("RUN <<-PY\n\t#!/usr/bin/python3\n\tprint(1)\nPY\n");
    ASSERT_TRUE(run.file);
    EXPECT_EQ(run.file->name, "PY");
    EXPECT_EQ(run.file->body, "#!/usr/bin/python3\nprint(1)\n");
    EXPECT_TRUE(run.script.empty());
}

TEST(RunHeredoc, AnythingElseIsSpelledOutAgain) {
    EXPECT_EQ(run_of("RUN <<EOF bash\n#!x\nEOF\n").script, "<<EOF bash\n#!x\nEOF");
    EXPECT_EQ(run_of("RUN cat <<A | tr a b <<-'B'\n1\nA\n\t2\n\tB\n").script,
              "cat <<A | tr a b <<-'B'\n1\nA\n\t2\nB");
}

TEST(RunHeredoc, Summary) {
    const auto summary = [](const char* body) {
        return heredoc_summary({"E", body, body, true, false});
    };
    EXPECT_EQ(summary("one\n"), "one");
    EXPECT_EQ(summary("one\ntwo\n"), "one...");
    EXPECT_EQ(summary("\n  one\r\ntwo"), "one...");
    EXPECT_EQ(summary(""), "");
}

TEST(OnbuildHeredoc, TextCanBeParsedAgain) {
    const Onbuild onbuild =
        parse_as<Onbuild>("ONBUILD  RUN cat <<-A <<B\n\t1\n\tA\n2\nB\nRUN next\n");
    EXPECT_EQ(onbuild.text, "RUN cat <<-A <<B\n\t1\nA\n2\nB");
    const ParseResult trigger = parse_trigger(onbuild.text, {7, 7});
    ASSERT_TRUE(trigger.ok()) << first_message(trigger);
    const Instruction& run = trigger.file.stages.at(0).instructions.at(0);
    EXPECT_EQ(std::get<RunCommand>(run.value).command.heredocs.at(0).body, "1\n");
    EXPECT_EQ(run.lines, (LineRange{7, 7}));
}

}  // namespace
}  // namespace shale::dockerfile
