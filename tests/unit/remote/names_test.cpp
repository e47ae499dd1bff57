// File names, checksums, dates.
#include <shale/remote.hpp>

#include <gtest/gtest.h>

namespace shale::remote {
namespace {

TEST(FileName, IsTheLastComponentOfThePath) {
    const std::vector<std::pair<std::string, std::string>> table = {
        {"http://h/a/b.tar.gz", "b.tar.gz"},
        {"http://h/a/b?x=/y/z", "b"},
        {"http://h/a#/y/z", "a"},
        {"http://h/a/", "a"},
        {"http://h/a//", "a"},
        {"http://h/a%20b", "a b"},
        {"http://h/a%2Fb", "b"},
        {"http://h/100%", "100%"},
        {"http://h/a/../b", "b"},
        {"http://h/x%00y", "__unnamed__"},
        {"http://h/..", "__unnamed__"},
        {"http://h/", "__unnamed__"},
        {"http://h", "__unnamed__"},
        {"http://h?q=/x", "__unnamed__"},
        {"http://h/" + std::string(256, 'x'), "__unnamed__"},
    };
    for (const auto& [url, wanted] : table)
        EXPECT_EQ(file_name(url), wanted) << url;
}

TEST(Checksum, AlgorithmAndLengthMustAgree) {
    for (const auto& text : std::vector<std::string>{"sha256:" + std::string(64, 'a'),
                                                     "sha384:" + std::string(96, '0'),
                                                     "sha512:" + std::string(128, 'f')})
        EXPECT_EQ(Checksum::parse(text).str(), text);
    const auto error_of = [](const std::string& text) -> std::string {
        try {
            Checksum::parse(text);
        } catch (const Error& error) {
            return error.what();
        }
        return {};
    };
    EXPECT_NE(error_of("md5:7d793037a0760186574b0282f2f435e7").find("unsupported digest algorithm"),
              std::string::npos);
    for (const auto& text : std::vector<std::string>{
             std::string(64, 'a'), std::string("sha256:"), std::string(":abc"), std::string(""),
             "sha256:" + std::string(63, 'a'), "sha256:" + std::string(64, 'A'),
             "sha512:" + std::string(64, 'a')})
        EXPECT_NE(error_of(text).find("invalid checksum digest format"), std::string::npos) << text;
}

TEST(HttpDate, OnlyThePreferredFormIsRead) {
    EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    for (const char* text : {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                             "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 32 Nov 1994 08:49:37 GMT",
                             "Sun, 06 ovN 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
                             "Sun, 06 Nov 199x 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT "})
        EXPECT_FALSE(parse_http_date(text)) << text;
}

}  // namespace
}  // namespace shale::remote
