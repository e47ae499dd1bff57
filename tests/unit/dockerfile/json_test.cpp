// The exec form, seen through CMD: what is JSON, what falls back to shell form, what is an error.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

using Words = std::vector<std::string>;

TEST(ExecForm, Accepted) {
    struct Row {
        const char* text;
        Words argv;
    };
    const Row kRows[] = {
        {"[]", {}},
        {"[ ]", {}},
        {"[\"a\"]", {"a"}},
        {"  [ \"a\" ,\t\"b c\" ]  ", {"a", "b c"}},
        {R"(["\"\\\/\b\f\n\r\t"])", {"\"\\/\b\f\n\r\t"}},
        {R"(["\u0041\u00e9\u20ac\ud83d\ude00"])", {"A\u00e9\u20ac\U0001F600"}},
        {R"(["\ud800", "\udc00x", "\ud800\u0041"])", {"\uFFFD", "\uFFFDx", "\uFFFDA"}},
        {"[\"\", \"$x\", \"#\"]", {"", "$x", "#"}},
        {"[\"caf\xC3\xA9\", \"\xFF\"]", {"caf\u00e9", "\xFF"}},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.text);
        const Cmd cmd = parse_as<Cmd>(std::string("CMD ") + row.text);
        EXPECT_TRUE(cmd.command.exec_form);
        EXPECT_EQ(cmd.command.argv, row.argv);
    }
}

TEST(ExecForm, FallsBackToShellForm) {
    for (const char* text : {"['a']",
                             "[\"a\"",
                             "[\"a\",]",
                             "[,\"a\"]",
                             "[\"a\" \"b\"]",
                             "[\"a\"]this is invalid",
                             "[\"a\\x\"]",
                             "[\"\\u12\"]",
                             "[\"\\u12zz\"]",
                             "[\"a\tb\"]",
                             "[\"a]",
                             "[a]",
                             "[",
                             "[1, foo]",
                             "[01]",
                             "[1.]",
                             "[+1]",
                             "[tru]",
                             "[{\"a\" 1}]",
                             "[{1:1}]",
                             "[nan]",
                             "[[\"a\"]",
                             "[]random string",
                             "[\"a\"]]",
                             "[-]",
                             "[1e]"}) {
        SCOPED_TRACE(text);
        const Cmd cmd = parse_as<Cmd>(std::string("CMD ") + text);
        EXPECT_FALSE(cmd.command.exec_form);
        EXPECT_EQ(cmd.command.argv, Words{text});
    }
}

TEST(ExecForm, OtherElementsAreErrors) {
    for (const char* text : {"[1]", "[\"a\", 1]", "[[\"a\"]]", "[null]", "[true, false]", "[{}]",
                             "[{\"a\": [1, 2e+5, -0.5]}]", "[\"a\", []]", "[0, \"b\"]"}) {
        SCOPED_TRACE(text);
        for (const char* word : {"CMD ", "RUN ", "ENTRYPOINT ", "SHELL ", "COPY ", "ADD ",
                                 "VOLUME ", "HEALTHCHECK CMD "})
            EXPECT_EQ(parse_error(word + std::string(text)),
                      "when using JSON array syntax, arrays must be comprised of strings only");
    }
}

TEST(ExecForm, DeepNestingIsNotJson) {
    const std::string deep = std::string(30'000, '[') + std::string(30'000, ']');
    EXPECT_FALSE(parse_as<Cmd>("CMD " + deep).command.exec_form);
    const std::string shallow = std::string(50, '[') + std::string(50, ']');
    EXPECT_EQ(parse_error("CMD " + shallow),
              "when using JSON array syntax, arrays must be comprised of strings only");
}

TEST(ExecForm, ListInstructionsTakeItToo) {
    const Copy copy = parse_as<Copy>("COPY [\"a b\", \"c\", \"/d e\"]");
    EXPECT_EQ(copy.sources, (Words{"a b", "c"}));
    EXPECT_EQ(copy.destination, "/d e");
    EXPECT_EQ(parse_as<Volume>("VOLUME [\"/a b\", \" /c \"]").paths, (Words{"/a b", "/c"}));
    EXPECT_EQ(parse_as<Volume>("VOLUME ['/a', /b]").paths, (Words{"['/a',", "/b]"}));
}

}  // namespace
}  // namespace shale::dockerfile
