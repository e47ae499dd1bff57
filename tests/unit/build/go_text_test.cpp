#include "go_text.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

TEST(GoText, QuotedWordsEscapeWhatGoEscapes) {
    EXPECT_EQ(go_quoted(""), "\"\"");
    EXPECT_EQ(go_quoted("a b"), "\"a b\"");
    EXPECT_EQ(go_quoted("say \"x\" \\ y"), R"("say \"x\" \\ y")");
    EXPECT_EQ(go_quoted("a\tb\nc\r"), R"("a\tb\nc\r")");
    EXPECT_EQ(go_quoted(std::string_view("\0\x1b\x7f", 3)), R"("\x00\x1b\x7f")");
    EXPECT_EQ(go_quoted("ünï"), "\"ünï\"");
}

}  // namespace
}  // namespace shale::build
