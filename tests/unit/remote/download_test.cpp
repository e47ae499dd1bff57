// Downloads from a server that lives in this file: what is asked, what is kept, what is refused.
#include "checksummer.hpp"

#include <shale/codec.hpp>
#include <shale/remote.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <set>

namespace shale::remote {
namespace {

struct Answer {
    int status = 200;
    std::map<std::string, std::string> headers;
    std::string body;
    bool breaks = false;  // after the body, before its end
};

class Server final : public http::Transport {
  public:
    std::deque<Answer> answers;
    std::vector<http::Request> asked;

    void perform(const http::Request& request,
                 const std::function<void(const http::Response&)>& on_head,
                 const std::function<void(Bytes)>& on_body) override {
        asked.push_back(request);
        ASSERT_FALSE(answers.empty()) << request.method << " " << request.url;
        const auto answer = answers.front();
        answers.pop_front();
        on_head({answer.status, answer.headers});
        if (request.method != "HEAD" && !answer.body.empty()) on_body(as_bytes(answer.body));
        if (answer.breaks) fail(ErrorKind::Network, "the connection broke");
    }
    std::string header(std::size_t index, const std::string& name) const {
        for (const auto& [key, value] : asked.at(index).headers)
            if (key == name) return value;
        return {};
    }
};

class Downloads : public ::testing::Test {
  protected:
    Downloads() {
        request.url = "http://h.example/dir/file.txt";
        request.file = directory.path() + "/file";
        request.at_hand = [this](const Digest& digest) { return at_hand.contains(digest); };
        patience.sleep = [this](auto) { ++waits; };
    }
    Download fetch() {
        const auto download =
            Downloader(server, directory.path() + "/memory", patience).fetch(request);
        at_hand.insert(download.content);
        return download;
    }
    ErrorKind kind_of_failure(std::string* text = nullptr) {
        try {
            fetch();
        } catch (const Error& error) {
            if (text) *text = error.what();
            return error.kind();
        }
        ADD_FAILURE() << "nothing thrown";
        return ErrorKind::System;
    }

    TempDir directory;
    std::shared_ptr<Server> server = std::make_shared<Server>();
    Patience patience;
    DownloadRequest request;
    std::set<Digest> at_hand;
    int waits = 0;
};

TEST_F(Downloads, BytesDigestAndTimeArrive) {
    server->answers = {{200, {{"last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"}}, "hello", false}};
    const auto download = fetch();
    EXPECT_TRUE(download.arrived);
    EXPECT_EQ(download.content, codec::sha256("hello"));
    EXPECT_EQ(download.size, 5u);
    EXPECT_EQ(download.last_modified, 784111777);
    EXPECT_EQ(read_file(request.file), "hello");
}

TEST_F(Downloads, AnETagIsAskedAboutBeforeAnythingIsFetchedAgain) {
    server->answers = {{200, {{"etag", "\"v1\""}}, "one", false},
                       {304, {}, "", false},
                       {200, {{"etag", "W/\"v1\""}}, "", false},
                       {200, {{"etag", "\"v2\""}}, "", false},
                       {200, {{"etag", "\"v2\""}}, "two", false}};
    fetch();
    EXPECT_FALSE(fetch().arrived);
    EXPECT_EQ(server->asked.at(1).method, "HEAD");
    EXPECT_EQ(server->header(1, "If-None-Match"), "\"v1\"");
    EXPECT_FALSE(fetch().arrived) << "some servers ignore the condition but give the tag";
    const auto changed = fetch();
    EXPECT_TRUE(changed.arrived);
    EXPECT_EQ(changed.content, codec::sha256("two"));
    EXPECT_EQ(server->asked.size(), 5u);
}

TEST_F(Downloads, ATimeIsBelievedOnlyWhenItHasSettled) {
    const std::string changed = "Sun, 06 Nov 1994 08:49:37 GMT";
    server->answers = {
        {200, {{"last-modified", changed}, {"date", "Sun, 06 Nov 1994 08:49:59 GMT"}}, "a", false},
        {200, {{"last-modified", changed}, {"date", "Sun, 06 Nov 1994 09:49:59 GMT"}}, "b", false},
        {304, {}, "", false}};
    fetch();
    EXPECT_TRUE(fetch().arrived);
    EXPECT_FALSE(fetch().arrived);
    EXPECT_EQ(server->header(2, "If-Modified-Since"), changed);
}

TEST_F(Downloads, WhatIsNoLongerAtHandIsFetchedWithoutAsking) {
    server->answers = {{200, {{"etag", "\"v1\""}}, "one", false}, {200, {}, "one", false}};
    fetch();
    at_hand.clear();
    EXPECT_TRUE(fetch().arrived);
    EXPECT_EQ(server->asked.at(1).method, "GET");
}

TEST_F(Downloads, WithAChecksumNobodyIsAsked) {
    request.checksum = Checksum::parse("sha512:" + std::string(128, '0'));
    Checksummer sum(HashAlgorithm::Sha512);
    sum.update(as_bytes(std::string_view("hello")));
    request.checksum->hex = sum.finish();
    server->answers = {{200, {}, "hello", false}};
    EXPECT_TRUE(fetch().arrived);
    EXPECT_FALSE(fetch().arrived);
    request.url = "http://mirror.example/other";
    EXPECT_FALSE(fetch().arrived) << "the same bytes, wherever they are";
    EXPECT_EQ(server->asked.size(), 1u);
}

TEST_F(Downloads, WrongBytesAreRefusedAndNotRemembered) {
    request.checksum = Checksum::parse("sha256:" + std::string(64, '0'));
    server->answers = {{200, {}, "hello", false}, {200, {}, "hello", false}};
    std::string text;
    EXPECT_EQ(kind_of_failure(&text), ErrorKind::Corrupt);
    EXPECT_EQ(text,
              "digest mismatch for http://h.example/dir/file.txt: " + codec::sha256("hello").str() +
                  " (expected: sha256:" + std::string(64, '0') + ")");
    at_hand.insert(codec::sha256("hello"));
    EXPECT_EQ(kind_of_failure(), ErrorKind::Corrupt) << "asks again";
}

TEST_F(Downloads, TransientFailuresAreTriedAgainFromTheStart) {
    server->answers = {{503, {}, "", false}, {200, {}, "hal", true}, {200, {}, "hello", false}};
    EXPECT_EQ(fetch().content, codec::sha256("hello"));
    EXPECT_EQ(waits, 2);
    EXPECT_EQ(read_file(request.file), "hello");
}

TEST_F(Downloads, RefusalsAreFinalAndNamed) {
    server->answers = {{404, {}, "<html>", false}, {403, {}, "no", false}};
    std::string text;
    EXPECT_EQ(kind_of_failure(&text), ErrorKind::NotFound);
    EXPECT_EQ(text, "http://h.example/dir/file.txt: invalid response status 404");
    EXPECT_EQ(kind_of_failure(&text), ErrorKind::Denied);
    EXPECT_EQ(waits, 0);
}

TEST_F(Downloads, RedirectsAreFollowedWithoutThePassword) {
    request.url = "http://me:secret@h.example/a";
    server->answers = {{302, {{"location", "/b"}}, "", false},
                       {307, {{"location", "https://other.example/c"}}, "", false},
                       {200, {}, "hello", false}};
    EXPECT_EQ(fetch().size, 5u);
    EXPECT_EQ(server->asked.at(0).url, "http://h.example/a");
    EXPECT_EQ(server->header(0, "Authorization"), "Basic bWU6c2VjcmV0");
    EXPECT_EQ(server->asked.at(1).url, "http://h.example/b");
    EXPECT_FALSE(server->header(1, "Authorization").empty());
    EXPECT_EQ(server->asked.at(2).url, "https://other.example/c");
    EXPECT_TRUE(server->header(2, "Authorization").empty());
}

TEST_F(Downloads, RedirectsEnd) {
    for (int i = 0; i < 20; ++i)
        server->answers.push_back({302, {{"location", "/again"}}, "", false});
    EXPECT_EQ(kind_of_failure(), ErrorKind::Network);
    EXPECT_EQ(server->asked.size(), 11u);
    server->answers = {{302, {{"location", "file:///etc/passwd"}}, "", false}};
    EXPECT_EQ(kind_of_failure(), ErrorKind::Network);
}

TEST_F(Downloads, SizesAreBounded) {
    request.max_bytes = 4;
    server->answers = {{200, {{"content-length", "5"}}, "", false}, {200, {}, "hello", false}};
    std::string text;
    EXPECT_EQ(kind_of_failure(&text), ErrorKind::Invalid);
    EXPECT_EQ(text, "http://h.example/dir/file.txt is larger than 4 B");
    EXPECT_EQ(kind_of_failure(), ErrorKind::Invalid);
}

TEST_F(Downloads, DamagedMemoryIsNoMemory) {
    server->answers = {{200, {{"etag", "\"v1\""}}, "one", false}, {200, {}, "one", false}};
    fetch();
    for (const auto* broken : {"", "{", "{\"content\": 5}", "[]"}) {
        server->answers = {{200, {{"etag", "\"v1\""}}, "one", false}};
        const auto name = codec::sha256(" http://h.example/dir/file.txt").hex();
        write_file_atomic(directory.path() + "/memory/" + name + ".json",
                          as_bytes(std::string_view(broken)));
        EXPECT_TRUE(fetch().arrived) << broken;
    }
}

}  // namespace
}  // namespace shale::remote
