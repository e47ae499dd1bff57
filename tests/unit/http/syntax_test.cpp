// URLs, and how long to wait.
#include <shale/http.hpp>

#include <gtest/gtest.h>

namespace shale::http {
namespace {

TEST(Url, PartsAreFound) {
    const auto url = Url::parse("HTTPS://Host.Example:8443/a/b?c=d?e#f", "test");
    EXPECT_EQ(url.scheme, "https");
    EXPECT_EQ(url.authority, "host.example:8443");
    EXPECT_EQ(url.host(), "host.example");
    EXPECT_EQ(url.path, "/a/b");
    EXPECT_EQ(url.query, "c=d?e");
    EXPECT_EQ(url.str(), "https://host.example:8443/a/b?c=d?e");
    EXPECT_EQ(Url::parse("http://[::1]:80/x", "test").host(), "::1");
    EXPECT_EQ(Url::parse("http://h?q", "test").query, "q");
}

TEST(Url, OriginIsSchemeHostAndPort) {
    const auto same = [](const char* a, const char* b) {
        return Url::parse(a, "a").same_origin(Url::parse(b, "b"));
    };
    EXPECT_TRUE(same("https://h/a", "https://H:443/b"));
    EXPECT_TRUE(same("http://[::1]/", "http://[::1]:80/"));
    EXPECT_FALSE(same("https://h/", "http://h/"));
    EXPECT_FALSE(same("https://h/", "https://h:444/"));
    EXPECT_FALSE(same("https://h/", "https://h.evil/"));
    EXPECT_FALSE(same("http://[::1]/", "http://[::1]:81/"));
}

TEST(Url, LoopbackIsJudgedByTheAddress) {
    for (const char* host : {"localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"})
        EXPECT_TRUE(is_loopback(host)) << host;
    for (const char* host : {"", "localhost.", "128.0.0.1", "127.0.0.1.example", "::2", "1.0.0.127",
                             "0.0.0.0", "notlocalhost"})
        EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Url, QueryValuesAreEncoded) {
    EXPECT_EQ(percent_encode("a-Z.0_~"), "a-Z.0_~");
    EXPECT_EQ(percent_encode("a b&c=d/e:\xff"), "a%20b%26c%3dd%2fe%3a%ff");
}

TEST(Url, PasswordsAreNotShown) {
    EXPECT_EQ(without_password("https://user:secret@host/p@th"), "https://***@host/p@th");
    EXPECT_EQ(without_password("https://a@b@host?q"), "https://***@host?q");
    for (const char* plain : {"https://host/a@b", "http://host?u@v", "no scheme @ all", ""})
        EXPECT_EQ(without_password(plain), plain);
}

TEST(BackOff, GrowsToACap) {
    const Transient failure("x");
    std::vector<std::int64_t> waits;
    for (int next = 1; next <= 7; ++next)
        waits.push_back(back_off(next, failure).count());
    EXPECT_EQ(waits, (std::vector<std::int64_t>{500, 1000, 2000, 4000, 8000, 8000, 8000}));
    EXPECT_EQ(back_off(1, Transient("x", std::chrono::seconds(0))).count(), 0);
}

}  // namespace
}  // namespace shale::http
