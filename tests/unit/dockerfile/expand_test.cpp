// Variable expansion: the conformance table of the specification row by row, then what the table
// does not say.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

struct Row {
    const char* word;
    const char* result;
};

// A = alpha, E is set and empty, P = /home/x, U is unset.
constexpr Row kConformance[] = {
    {"pre$A.post", "prealpha.post"},
    {"pre${A}post", "prealphapost"},
    {"$Apost", ""},
    {"$U", ""},
    {"${U}", ""},
    {R"(\$A)", "$A"},
    {R"(\\$A)", R"(\alpha)"},
    {"'$A'", "$A"},
    {R"("$A")", "alpha"},
    {R"("'$A'")", "'alpha'"},
    {R"('"x"')", R"("x")"},
    {R"("\$A")", "$A"},
    {R"("a\tb")", R"(a\tb)"},
    {R"(a\tb)", "atb"},
    {R"(tail\)", "tail"},
    {"$.", "$."},
    {"x$", "x$"},
    {"a$1b", "ab"},
    {"${1:-d}", "d"},
    {"$$x", "x"},
    {"${U:-d}", "d"},
    {"${E:-d}", "d"},
    {"${E-d}", ""},
    {"${U:-${A:-z}}", "alpha"},
    {"${A:+y}", "y"},
    {"${E:+y}", ""},
    {"${E+y}", "y"},
    {R"(${U:-\$P})", "$P"},
    {"${E?m}", ""},
    {"${A}}", "alpha}"},
    {"${P#*/}", "home/x"},
    {"${P##*/}", "x"},
    {"${P%/*}", "/home"},
    {"${P%%/*}", ""},
    {"${A/a/_}", "_lpha"},
    {"${A//a/_}", "_lph_"},
    {"${A/a*h/_}", "_a"},
    {"${A#[a]}", "alpha"},
};

constexpr Row kConformanceErrors[] = {
    {"${E:?m}", "E: m"},
    {"${U?}", "U: is not allowed to be unset"},
    {"${E:?}", "E: is not allowed to be empty"},
    {"${A:=v}", "unsupported modifier (:=) in substitution"},
    {"${A", "syntax error: missing '}'"},
    {"${}", "syntax error: bad substitution"},
    {"${:x}", "syntax error: bad substitution"},
    {"${{A}", "syntax error: bad substitution"},
    {"it's", "unexpected end of statement while looking for matching single-quote"},
    {R"("open)", "unexpected end of statement while looking for matching double-quote"},
};

TEST(Expand, ConformanceTable) {
    for (const Row& row : kConformance) {
        SCOPED_TRACE(row.word);
        EXPECT_EQ(expand(row.word, lookup_fixed), row.result);
    }
}

TEST(Expand, ConformanceTableOfErrors) {
    for (const Row& row : kConformanceErrors) {
        SCOPED_TRACE(row.word);
        const std::string text = invalid_text([&] { expand(row.word, lookup_fixed); });
        EXPECT_TRUE(text.starts_with("failed to process \"")) << text;
        EXPECT_TRUE(text.ends_with(std::string(": ") + row.result)) << text;
    }
}

TEST(Expand, ErrorNamesTheWholeWordQuoted) {
    EXPECT_EQ(invalid_text([] { expand("${x:=1}", lookup_fixed); }),
              "failed to process \"${x:=1}\": unsupported modifier (:=) in substitution");
    EXPECT_EQ(
        invalid_text([] { expand("\"a\tb", lookup_fixed); }),
        R"(failed to process "\"a\tb": unexpected end of statement while looking for matching )"
        "double-quote");
}

// An empty pattern matches everywhere: each level multiplies what the one inside it made.
TEST(Expand, ReplacementsThatMultiplyEndAtTheBound) {
    const auto lookup = [](std::string_view) { return std::optional(std::string(300, 'v')); };
    std::string word = "x";
    for (int level = 0; level < 4; ++level)
        word = "${A///" + word + "}";
    const auto text = invalid_text([&] { expand(word, lookup); });
    EXPECT_TRUE(text.ends_with("expands to more than 16777216 bytes")) << text;
    EXPECT_EQ(invalid_text([&] { expand_words(word, lookup); }), text);
    EXPECT_EQ(expand("${A///x}", lookup).size(), 601u);
}

TEST(Expand, ModifiersBeyondTheTable) {
    constexpr Row kRows[] = {
        {"${U+y}", ""},
        {"${A+y}", "y"},
        {"${A-d}", "alpha"},
        {"${A?m}", "alpha"},
        {"${A:?m}", "alpha"},
        {"${U:-'a b'}", "a b"},
        {R"(${U:-"$A"})", "alpha"},
        {R"("${U:-'q'}")", "q"},
        {R"(${U:-a\}b})", "a}b"},
        {"${A#al}", "pha"},
        {"${A#x}", "alpha"},
        {"${A#a*}", "lpha"},
        {"${A##a*}", ""},
        {"${A%a}", "alph"},
        {"${A%?}", "alph"},
        {"${A%p*}", "al"},
        {"${A%%a*}", ""},
        {"${P#$U}", "/home/x"},
        {"${P#\"/home\"}", "/x"},
        {"${P/home/${A}}", "/alpha/x"},
        {R"(${P/\/home\//_})", "_x"},
        {R"(${P//\//\/})", R"(\/home\/x)"},
        {"${A//p*/$1}", "al"},
        {"${A/*/x}", "x"},
        {"${A//*/x}", "x"},
        {"${E//*/x}", "x"},
        {"${A///-}", "-a-l-p-h-a-"},
        {"${A//x/y}", "alpha"},
        {"${@}$*$#$?$-$!$0", ""},
        {"$001x", "x"},
        {"${#}", ""},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.word);
        EXPECT_EQ(expand(row.word, lookup_fixed), row.result);
    }
}

TEST(Expand, RefusesWhatThePatternLanguageLacks) {
    constexpr Row kRows[] = {
        {R"(${A#a\b})", R"(invalid pattern (a\b) in substitution: invalid escape '\b')"},
        {"${A:#x}", "unsupported modifier (:#) in substitution"},
        {"${A:%x}", "unsupported modifier (:%) in substitution"},
        {"${A:/x/y}", "unsupported modifier (:/) in substitution"},
        {"${A^^}", "unsupported modifier (^) in substitution"},
        {"${A/x}", "syntax error: missing '/' in ${}"},
        {"${A/x/y", "syntax error: missing '}'"},
        {"${A:-x", "syntax error: missing '}'"},
        {"${A:-\"x}", "syntax error: missing '}'"},
        {"${", "syntax error: missing '}'"},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.word);
        const std::string text = invalid_text([&] { expand(row.word, lookup_fixed); });
        EXPECT_TRUE(text.ends_with(std::string(": ") + row.result)) << text;
    }
}

TEST(Expand, PatternsMatchShortestAndLongest) {
    const auto lookup = [](std::string_view) { return std::optional<std::string>("a.b.c.b.d"); };
    EXPECT_EQ(expand("${V#*.b}", lookup), ".c.b.d");
    EXPECT_EQ(expand("${V##*.b}", lookup), ".d");
    EXPECT_EQ(expand("${V%b*}", lookup), "a.b.c.");
    EXPECT_EQ(expand("${V%%b*}", lookup), "a.");
    EXPECT_EQ(expand("${V##*b*c*b}", lookup), ".d");
    EXPECT_EQ(expand("${V/b?c/-}", lookup), "a.-.b.d");
    EXPECT_EQ(expand("${V/b*b/-}", lookup), "a.-.d");
}

TEST(Expand, CharactersNotBytes) {
    const auto lookup = [](std::string_view name) {
        return std::optional<std::string>(name == "größe" ? "x" : "äöü");
    };
    EXPECT_EQ(expand("${V#?}", lookup), "öü");
    EXPECT_EQ(expand("${V%?}", lookup), "äö");
    EXPECT_EQ(expand("$größe.", lookup), "x.");
    EXPECT_EQ(expand("a\xFF\xFE$V", lookup), "a\xFF\xFEäöü");
}

TEST(Expand, BadBytesInValuesSurvivePatterns) {
    const auto lookup = [](std::string_view) { return std::optional<std::string>("\xFF\xFEx"); };
    EXPECT_EQ(expand("${V#?}", lookup), "\xFEx");
    EXPECT_EQ(expand("${V/x/y}", lookup), "\xFF\xFEy");
}

TEST(Expand, BacktickAsEscape) {
    EXPECT_EQ(expand(R"(c:\$A`$A)", lookup_fixed, '`'), R"(c:\alpha$A)");
    EXPECT_EQ(expand(R"("`"\x")", lookup_fixed, '`'), R"("\x)");
}

TEST(Expand, DoesNotLookUpWhatIsNotNeeded) {
    EXPECT_EQ(expand("plain/path",
                     [](std::string_view name) -> std::optional<std::string> {
                         ADD_FAILURE() << name;
                         return std::nullopt;
                     }),
              "plain/path");
}

TEST(Expand, NestingIsBounded) {
    std::string word;
    for (int i = 0; i < 50; ++i)
        word += "${U:-";
    word += "x" + std::string(50, '}');
    EXPECT_EQ(expand(word, lookup_fixed), "x");
    std::string deep;
    for (int i = 0; i < 100'000; ++i)
        deep += "${U:-";
    EXPECT_NE(invalid_text([&] { expand(deep, lookup_fixed); }).find("nested too deeply"),
              std::string::npos);
}

TEST(Expand, ResultIsBounded) {
    const std::string big(1 << 20, 'x');
    const auto lookup = [&](std::string_view) { return std::optional<std::string>(big); };
    std::string word;
    for (int i = 0; i < 40; ++i)
        word += "$V";
    EXPECT_NE(invalid_text([&] { expand(word, lookup); }).find("expands to more than"),
              std::string::npos);
}

TEST(Expand, LongPatternOnLongValueIsNotExponential) {
    const std::string value(20'000, 'a');
    const auto lookup = [&](std::string_view) { return std::optional<std::string>(value); };
    std::string pattern;
    for (int i = 0; i < 200; ++i)
        pattern += "*a";
    EXPECT_EQ(expand("${V##" + pattern + "b}", lookup), value);
    EXPECT_EQ(expand("${V//" + pattern + "b/x}", lookup), value);
}

TEST(ExpandWords, SplitsValuesButNotQuotes) {
    const auto lookup = [](std::string_view) { return std::optional<std::string>("  80 443\t"); };
    using Words = std::vector<std::string>;
    EXPECT_EQ(expand_words("$P", lookup), (Words{"80", "443"}));
    EXPECT_EQ(expand_words("x$P", lookup), (Words{"x", "80", "443"}));
    EXPECT_EQ(expand_words("\"$P\"", lookup), (Words{"  80 443\t"}));
    EXPECT_EQ(expand_words("80${P}/udp", lookup), (Words{"80", "80", "443", "/udp"}));
    EXPECT_EQ(expand_words("a\\ b 'c d' e", lookup), (Words{"a b", "c d", "e"}));
    EXPECT_EQ(expand_words("", lookup), Words{});
    EXPECT_EQ(expand_words("''", lookup), Words{});
}

TEST(ExpandHeredoc, QuotesAreDataAndBackslashEscapes) {
    constexpr Row kRows[] = {
        {"'$A' \"$A\"\n", "'alpha' \"alpha\"\n"},
        {"it's \"\n", "it's \"\n"},
        {R"(\$A \\ $A)", R"($A \ alpha)"},
        {"a\\\nb", "a\nb"},
        {"${U:-'d'}", "'d'"},
        {"`$A`", "`alpha`"},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.word);
        EXPECT_EQ(expand_heredoc(row.word, lookup_fixed), row.result);
    }
}

TEST(ExpandHeredoc, ErrorShowsOnlyTheBeginningOfALongBody) {
    const std::string body = std::string(5000, 'x') + "${A:=1}";
    EXPECT_LT(invalid_text([&] { expand_heredoc(body, lookup_fixed); }).size(), 400u);
}

}  // namespace
}  // namespace shale::dockerfile
