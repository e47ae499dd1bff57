#include "terminal_text.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace shale::cli {
namespace {

TEST(Printable, LeavesOrdinaryTextAlone) {
    EXPECT_EQ(printable("héllo\twörld 漢字 🎉"), "héllo\twörld 漢字 🎉");
}

TEST(Printable, DropsEscapeSequencesWithTheirParameters) {
    EXPECT_EQ(printable("\x1b[1;31mred\x1b[0m"), "red");
    EXPECT_EQ(printable("a\x1b[2K\x1b[1Ab"), "ab");
    EXPECT_EQ(printable("\x1b(Bplain"), "plain");
}

TEST(Printable, DropsTitlesAndHyperlinks) {
    EXPECT_EQ(printable("\x1b]0;owned\atext"), "text");
    EXPECT_EQ(printable_message("'a\rb\x1b[2K' is missing"), "'a\\rb' is missing");
    EXPECT_EQ(printable("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\"), "link");
    EXPECT_EQ(printable("\x1bPq#0;2;0;0;0\x1b\\after"), "after");
}

TEST(Printable, AnUnfinishedSequenceEndsWithTheLine) {
    EXPECT_EQ(printable("text\x1b["), "text");
    EXPECT_EQ(printable("text\x1b]0;never ends"), "text");
    EXPECT_EQ(printable("text\x1b"), "text");
}

TEST(Printable, DropsWhatReordersOrHides) {
    EXPECT_EQ(printable("safe\xE2\x80\xAE.txt"), "safe.txt");  // right-to-left override
    EXPECT_EQ(printable("a\xC2\x9B"
                        "31mb"),
              "a31mb");  // the one-character introducer of control sequences
    EXPECT_EQ(printable(std::string_view("a\0b\x07\x7f", 5)), "ab");
}

TEST(Printable, ReplacesWhatIsNoUtf8) {
    EXPECT_EQ(printable("a\xff"
                        "b"),
              "a\xEF\xBF\xBD"
              "b");
    EXPECT_EQ(printable("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // an overlong slash
    EXPECT_EQ(printable("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // cut short
}

TEST(Printable, ShowsTheLastStateOfAProgressBar) {
    EXPECT_EQ(printable("10%\r50%\r100%\r"), "100%");
    EXPECT_EQ(printable("one\ntwo"), "one two");
    EXPECT_EQ(printable("fetch: ssh: refused\r\nfatal: no\n"), "fetch: ssh: refused fatal: no ");
}

TEST(DisplayWidth, CountsColumns) {
    EXPECT_EQ(display_width("abc"), 3u);
    EXPECT_EQ(display_width("漢字"), 4u);
    EXPECT_EQ(display_width("e\xCC\x81"), 1u);  // a combining accent
    EXPECT_EQ(display_width("ab\tc"), 9u);
}

TEST(Fit, CutsAtColumnsNotBytes) {
    EXPECT_EQ(fit("abcdef", 6), "abcdef");
    EXPECT_EQ(fit("abcdef", 5), "abcd…");
    EXPECT_EQ(fit("漢字漢字", 5), "漢字…");
    EXPECT_EQ(fit("漢字漢字", 4), "漢…");  // half a character is none
    EXPECT_EQ(fit("abc", 0), "");
    EXPECT_EQ(fit("a\tb", 9), "a       b");
}

TEST(LineAssembler, JoinsPiecesAndSplitsLines) {
    std::vector<std::string> lines;
    LineAssembler assembler([&](std::string line) { lines.push_back(std::move(line)); });
    assembler.feed("on");
    assembler.feed("e\ntwo\n\nthr");
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", ""}));
    assembler.finish();
    EXPECT_EQ(lines.back(), "thr");
    assembler.finish();
    EXPECT_EQ(lines.size(), 4u);
}

TEST(LineAssembler, TellsWhereAnUnfinishedLineIs) {
    LineAssembler assembler([](const std::string&) {});
    EXPECT_EQ(assembler.unfinished(), "");
    assembler.feed("one\n 1%\r 2%");
    EXPECT_EQ(assembler.unfinished(), " 2%");
    assembler.finish();
    EXPECT_EQ(assembler.unfinished(), "");
}

TEST(ShortDigests, AreThoseThatAreWhole) {
    const std::string digits(64, 'b');
    EXPECT_EQ(with_short_digests("a sha256:" + digits + " b"), "a sha256:bbbbbbbbbbbb b");
    EXPECT_EQ(with_short_digests("sha256:" + digits + "c sha256:12"),
              "sha256:" + digits + "c sha256:12");
    EXPECT_EQ(with_short_digests("none"), "none");
}

TEST(LineAssembler, DeliversAnEndlessLineInPieces) {
    std::size_t delivered = 0, longest = 0;
    LineAssembler assembler([&](const std::string& line) {
        delivered += line.size();
        longest = std::max(longest, line.size());
    });
    const std::string block(10'000, 'x');
    for (int i = 0; i < 100; ++i)
        assembler.feed(block);
    assembler.finish();
    EXPECT_EQ(delivered, 1'000'000u);
    EXPECT_LE(longest, LineAssembler::kMaxLineBytes);
}

}  // namespace
}  // namespace shale::cli
