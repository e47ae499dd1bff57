// Secrets in a command's output, however it arrives.
#include "redact.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

// The text in pieces of `size` bytes.
std::string redacted(const std::vector<std::string>& secrets, std::string_view text,
                     std::size_t size) {
    Redactor redactor(secrets);
    std::string shown;
    for (std::size_t at = 0; at < text.size(); at += size)
        shown += redactor.add(text.substr(at, size));
    return shown + redactor.finish();
}

TEST(Redactor, HidesSecretsInPiecesOfAnySize) {
    const std::vector<std::string> secrets{"hunter2", "hunter2-and-more\n", "aaaaab"};
    for (std::size_t size = 1; size < 40; ++size) {
        EXPECT_EQ(redacted(secrets, "token hunter2, hunter2-and-more\nhunt", size),
                  "token ****, ****\nhunt")
            << size;
        EXPECT_EQ(redacted(secrets, "aaaaaaabaaaaa", size), "aa****aaaaa") << size;
        EXPECT_EQ(redacted(secrets, "hunter2-and-les", size), "****-and-les") << size;
    }
}

TEST(Redactor, ShowsAtOnceWhatCannotBeASecret) {
    Redactor redactor({"secret"});
    EXPECT_EQ(redactor.add("sure, sec"), "sure, ");
    EXPECT_EQ(redactor.add("ond\n"), "second\n");
    EXPECT_EQ(redactor.finish(), "");
}

TEST(Redactor, LetsShortValuesPass) {
    EXPECT_EQ(redacted({"no", "", "12345"}, "no 12345", 3), "no 12345");
}

TEST(Redactor, HidesLongLinesOfAKey) {
    const std::string key = "-----BEGIN KEY-----\nabcdefghijklmnopqrstuvwxyz\nshort\n";
    EXPECT_EQ(redacted({key}, key, 7), "****\n");
    EXPECT_EQ(redacted({key}, "> abcdefghijklmnopqrstuvwxyz\n> short\n", 7), "> ****\n> short\n");
}

}  // namespace
}  // namespace shale::build
