// The small grammars: challenges, scopes, base64, error documents.
#include "base64.hpp"
#include "challenge.hpp"
#include "wire.hpp"

#include <gtest/gtest.h>

namespace shale::registry {
namespace {

TEST(Challenge, CommasMeanThreeThings) {
    const auto found = parse_challenges(
        R"(Basic realm="a, b", BEARER Realm="https://x/t" , scope="repository:a:pull,push" ,service=s)");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].scheme, "basic");
    EXPECT_EQ(found[0].parameters.at("realm"), "a, b");
    EXPECT_EQ(found[1].scheme, "bearer");
    EXPECT_EQ(found[1].parameters.at("realm"), "https://x/t");
    EXPECT_EQ(found[1].parameters.at("scope"), "repository:a:pull,push");
    EXPECT_EQ(found[1].parameters.at("service"), "s");
}

TEST(Challenge, QuotesMayBeEscaped) {
    const auto found = parse_challenges(R"(Bearer realm="a\"b\\c")");
    EXPECT_EQ(found.at(0).parameters.at("realm"), R"(a"b\c)");
}

TEST(Challenge, FirstOfEqualParametersCounts) {
    const auto found = parse_challenges("Bearer realm=one, realm=two");
    EXPECT_EQ(found.at(0).parameters.at("realm"), "one");
}

TEST(Challenge, GarbageEnds) {
    for (const std::string text : {"", " ", ",,,", "=", "\"", "a=", "a=\"", "Bearer =",
                                   "Bearer a=\"b", "\\", "Bearer \"\" \"\"", "\t=\t=\t"})
        EXPECT_LE(parse_challenges(text).size(), 1u) << text;
    EXPECT_LE(parse_challenges(std::string(1 << 20, 'x') + " ").size(), 1u);
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += "S" + std::to_string(i) + ",";
    EXPECT_LT(parse_challenges(many).size(), 20u);
}

TEST(Scopes, AreMergedByResource) {
    using Scopes = std::vector<std::string>;
    EXPECT_EQ(merge_scopes({"repository:a:pull"}, ""), Scopes{"repository:a:pull"});
    EXPECT_EQ(merge_scopes({"repository:a:pull,push"}, "repository:a:pull"),
              Scopes{"repository:a:pull,push"});
    EXPECT_EQ(merge_scopes({"repository:a:pull"}, "repository:b/c:pull registry:catalog:*"),
              (Scopes{"registry:catalog:*", "repository:a:pull", "repository:b/c:pull"}));
    EXPECT_EQ(merge_scopes({"repository:h:5/a:pull"}, "nonsense"), Scopes{"repository:h:5/a:pull"});
}

TEST(Base64, BothWays) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {std::string("\0\xff\xfe", 3), "AP/+"}};
    for (const auto& [plain, coded] : cases) {
        EXPECT_EQ(encode_base64(plain), coded);
        EXPECT_EQ(decode_base64(coded), plain);
    }
    EXPECT_EQ(decode_base64("Zg"), "f") << "padding may be missing";
    EXPECT_FALSE(decode_base64("Z"));
    EXPECT_FALSE(decode_base64("Zm 9v"));
    EXPECT_FALSE(decode_base64("Zm-_"));
}

TEST(ErrorMessage, IsTheFirstAndPrintable) {
    EXPECT_EQ(error_message(R"({"errors":[{"code":"A","message":"first"},{"message":"second"}]})"),
              "first");
    EXPECT_EQ(error_message(R"({"errors":[{"code":"DENIED","message":""}]})"), "DENIED");
    EXPECT_EQ(error_message(R"({"errors":[]})"), "");
    EXPECT_EQ(error_message(R"({"errors":"x"})"), "");
    EXPECT_EQ(error_message(R"({"details":"token trouble"})"), "token trouble");
    EXPECT_EQ(error_message(R"({"message":5})"), "");
    EXPECT_EQ(error_message("plain text\nmore"), "plain text");
    EXPECT_EQ(error_message("<html>oops</html>"), "");
    EXPECT_EQ(error_message("{broken"), "");
    EXPECT_EQ(error_message("a\x1b[2Jb\x7f"), "a [2Jb");
    EXPECT_EQ(error_message(std::string(1000, 'x')), std::string(300, 'x') + "...");
}

}  // namespace
}  // namespace shale::registry
