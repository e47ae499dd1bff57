// The normal form: what it looks like, and the two laws that hold for every file: it means the
// same, and its own normal form is itself.
#include "cases.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace shale::dockerfile {
namespace {

void expect_same(const Instruction& a, const Instruction& b) {
    EXPECT_EQ(a.keyword, b.keyword);
    EXPECT_EQ(a.comments, b.comments);
    EXPECT_TRUE(a.value == b.value) << a.original << "\nand\n" << b.original;
}

void expect_same(const std::vector<Instruction>& a, const std::vector<Instruction>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        expect_same(a[i], b[i]);
}

// Everything but places and spelling.
void expect_same(const File& a, const File& b) {
    EXPECT_EQ(a.escape, b.escape);
    EXPECT_EQ(a.syntax, b.syntax);
    EXPECT_EQ(a.check, b.check);
    expect_same(a.global_args, b.global_args);
    ASSERT_EQ(a.stages.size(), b.stages.size());
    for (std::size_t i = 0; i < a.stages.size(); ++i) {
        EXPECT_TRUE(a.stages[i].from == b.stages[i].from);
        EXPECT_EQ(a.stages[i].comments, b.stages[i].comments);
        expect_same(a.stages[i].instructions, b.stages[i].instructions);
    }
}

void expect_laws(const std::string& text) {
    SCOPED_TRACE(text);
    const ParseResult before = parse(text);
    if (!before.ok()) return;
    const std::string once = format(text);
    SCOPED_TRACE(once);
    const ParseResult after = parse(once);
    ASSERT_TRUE(after.ok()) << first_message(after);
    expect_same(before.file, after.file);
    EXPECT_EQ(format(once), once);
}

TEST(Format, OneForm) {
    EXPECT_EQ(format("#  Syntax = docker/dockerfile:1\n\n\n\n  # about\nfrom   a as b\n"
                     "run  echo  'a  b' \ncopy --link   x    y /z\n\n\nfrom c\n"),
              "# syntax=docker/dockerfile:1\n\n# about\nFROM a AS b\n"
              "RUN echo  'a  b'\nCOPY --link x y /z\n\nFROM c\n");
}

TEST(Format, LineBreaksStayAndIndentsAreFour) {
    EXPECT_EQ(format("FROM a\nENV  a=1\\\n b=2  c=3   \\\n# note \n\n\t d=4\n"),
              "FROM a\nENV a=1 \\\n    b=2 c=3 \\\n    # note\n    d=4\n")
        << "blanks around list words carry no meaning";
    EXPECT_EQ(format("FROM a\nRUN --network=none   --mount=type=tmpfs,target=/t \\\n set -e; \\\n"
                     "\n   # why\n\techo  \"x\n"),
              "FROM a\nRUN --network=none --mount=type=tmpfs,target=/t \\\n    set -e; \\\n"
              "    # why\n\techo  \"x\n")
        << "but those inside a command may";
}

TEST(Format, JsonOnOneLine) {
    EXPECT_EQ(
        format("FROM a\ncmd [ \"a\",\"b\\u0041\\t\"  ]\nHEALTHCHECK --retries=3  cmd [\"x\"]\n"),
        "FROM a\nCMD [\"a\", \"bA\\t\"]\nHEALTHCHECK --retries=3 CMD [\"x\"]\n");
}

TEST(Format, HeredocsStayByteForByte) {
    EXPECT_EQ(
        format(
            "FROM a\nrun  <<-EOF\n\t a\r\n\n# no comment\n\tEOF\ncopy   <<A  <<B /d/\n1\nA\n2\nB"),
        "FROM a\nRUN <<-EOF\n\t a\r\n\n# no comment\n\tEOF\nCOPY <<A <<B /d/\n1\nA\n2\nB\n");
}

TEST(Format, StagesStandApartWithTheirComments) {
    EXPECT_EQ(format("ARG A\nFROM a\nRUN x\n# one\n# two\nFROM b\n"),
              "ARG A\n\nFROM a\nRUN x\n\n# one\n# two\nFROM b\n");
}

TEST(Format, AnEmptyLineThatHidesADirectiveStays) {
    EXPECT_EQ(format("\n\n# escape=`\nFROM a\n"), "\n# escape=`\nFROM a\n");
    EXPECT_EQ(format("\n\n# c\nFROM a\n"), "# c\nFROM a\n");
    EXPECT_EQ(format("\n#!x\n# syntax=a\nFROM a\n"), "\n#!x\n# syntax=a\nFROM a\n");
}

TEST(Format, CommentsBehindAStatementAreNoDirectives) {
    const std::string text = "FROM a\n# escape=`\n# escape=`\nRUN b\n";
    EXPECT_EQ(format(text), text);
}

TEST(Format, OddThingsStayAsTheyAre) {
    for (const char* text : {"FROM a\nRUN -- --x\n", "FROM a\nCOPY a\\\nb /c\n",
                             "FROM a\nONBUILD RUN  x  \n", "FROM a\nENV a  b  c\n"}) {
        SCOPED_TRACE(text);
        expect_laws(text);
    }
    EXPECT_EQ(format("FROM a\nRUN -- --x\n"), "FROM a\nRUN -- --x\n");
    EXPECT_EQ(format("from a\nru\\\nn x\n"), "FROM a\nru\\\nn x\n");
}

TEST(Format, MistakesAreRefused) {
    EXPECT_EQ(invalid_text([] { format("FROM a\nXYZZYPLUGH x\n"); }),
              "dockerfile parse error on line 2: unknown instruction: XYZZYPLUGH");
}

// Dockerfiles of random pieces: most parse.
class Generator {
  public:
    explicit Generator(std::uint64_t seed) : random_(seed) {}

    std::string file() {
        std::string text = pick({"", "", "# escape=`\n", "# syntax=a\n", "\n", "#!x\n", "# c\n"});
        escape_ = text.starts_with("# escape") ? "`" : "\\";
        text += pick({"", "", "# check=skip=all\n", "\n# escape=`\n"}) + "FROM a" +
                pick({"", " AS b", "  as   C "}) + "\n";
        for (std::size_t lines = random_() % 8; lines > 0; --lines)
            text += statement();
        if (random_() % 5 == 0) text.pop_back();
        return text;
    }

  private:
    std::string pick(std::initializer_list<const char*> choices) {
        return *(choices.begin() + random_() % choices.size());
    }

    std::string gap() {
        return pick({" ", " ", " ", "  ", "\t", ""}) +
               (random_() % 4 == 0
                    ? escape_ + pick({"\n", " \n", "\n\n", "\n# c\n", "\r\n", "\n\t# c\\\n"})
                    : "") +
               pick({"", " ", "  ", "\t"});
    }

    std::string word() {
        return pick({"a",
                     "b=1",
                     "--link",
                     "--network=none",
                     "<<E",
                     "<<-'E F'",
                     "3<<E",
                     "\"x y\"",
                     "'z",
                     "[\"a\",",
                     "\"b\"]",
                     "[]",
                     "\\\\",
                     "\\",
                     "`",
                     "#",
                     "# x",
                     "$A",
                     "AS",
                     "as",
                     "CMD",
                     "NONE",
                     "run",
                     "/d/",
                     "x=",
                     "=",
                     "\xff",
                     "\u00e4",
                     "--",
                     "\v",
                     "--mount=type=tmpfs,target=/t",
                     "--from=\"a b\"",
                     "k='v w'",
                     "{\"a\":1}"});
    }

    std::string statement() {
        std::string text =
            pick({"", "", "", "\n", "# c\n", "#\n", "  # d \n", "\n\n\n"}) +
            pick({"", "", " ", "\t"}) +
            pick({"RUN",        "run",     "COPY",        "ADD",          "ENV",
                  "LABEL",      "ARG",     "CMD",         "Entrypoint",   "WORKDIR",
                  "user",       "EXPOSE",  "VOLUME",      "SHELL",        "HEALTHCHECK",
                  "STOPSIGNAL", "ONBUILD", "onbuild RUN", "ONBUILD COPY", "MAINTAINER",
                  "FROM",       "from"});
        for (std::size_t words = 1 + random_() % 4; words > 0; --words)
            text += gap() + word();
        text += pick({"", "", " ", "\r", "\\", "`"}) + "\n";
        if (text.find("<<") != std::string::npos)
            text += pick({"E\n", "b\nE\n", "\tx\r\n\tE F\nE\n", ""});
        return text;
    }

    std::mt19937_64 random_;
    std::string escape_ = "\\";
};

TEST(FormatLaw, HoldsForGeneratedFiles) {
    const char* given = std::getenv("SHALE_SEED");
    const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : 1;
    SCOPED_TRACE("SHALE_SEED=" + std::to_string(seed));
    Generator generator(seed);
    int good = 0;
    for (int round = 0; round < 8'000 && !testing::Test::HasFailure(); ++round) {
        const std::string text = generator.file();
        good += parse(text).ok();
        expect_laws(text);
    }
    EXPECT_GT(good, 500) << "the generator makes too few files that parse";
}

// Each case of the differential corpus has its Dockerfile behind a line "---".
TEST(FormatLaw, HoldsForTheDifferentialCorpus) {
    namespace filesystem = std::filesystem;
    const filesystem::path cases = filesystem::path(SHALE_SOURCE_ROOT) / "tests/differential/cases";
    int files = 0;
    for (const auto& entry : filesystem::directory_iterator(cases)) {
        std::ifstream stream(entry.path(), std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(stream), {}};
        for (auto at = text.find("\n---\n"); at != text.npos; at = text.find("\n---\n", at + 5)) {
            const auto start = at + 5;
            const auto end = std::min(text.find("\n=== ", start), text.find("\n-- ", start));
            expect_laws(text.substr(start, end - start));
            ++files;
        }
    }
    EXPECT_GT(files, 100);
}

TEST(FormatLaw, HoldsForTheDockerfilesOfThisRepository) {
    namespace filesystem = std::filesystem;
    const filesystem::path root = SHALE_SOURCE_ROOT;
    int files = 0;
    for (const char* place : {"examples", "tests/fuzz/corpus"})
        for (const auto& entry : filesystem::recursive_directory_iterator(root / place)) {
            if (!entry.is_regular_file()) continue;
            const std::string path = entry.path().string();
            if (path.find("ockerfile") == std::string::npos) continue;
            std::ifstream stream(path, std::ios::binary);
            expect_laws({std::istreambuf_iterator<char>(stream), {}});
            ++files;
        }
    EXPECT_GT(files, 5);
}

}  // namespace
}  // namespace shale::dockerfile
