// The libcurl transport against a real socket on loopback: heads, bodies both ways, broken and
// stalled connections, and exceptions that must cross a C library.
#include <shale/http.hpp>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace shale::http {
namespace {

UniqueFd listen_on_loopback(int& port) {
    UniqueFd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(out.get(), generic, size) != 0 || ::listen(out.get(), 8) != 0 ||
        ::getsockname(out.get(), generic, &size) != 0)
        throw_errno("listening on loopback");
    port = ntohs(address.sin_port);
    return out;
}

// Accepts connections one after the other; to each it sends the next reply after the request's end
// and `thinks` of its own, and closes, or holds the connection open until it is destroyed, or sends
// a byte every tenth of a second for as long as somebody takes it.
class RawServer {
  public:
    explicit RawServer(std::vector<std::string> replies, bool hold = false,
                       std::chrono::milliseconds thinks = {}, bool drips = false)
        : thinks_(thinks), drips_(drips), listener_(listen_on_loopback(port_)),
          thread_([this, replies, hold] {
              for (const auto& reply : replies)
                  serve(reply, hold);
          }) {}
    ~RawServer() {
        ::shutdown(listener_.get(), SHUT_RDWR);  // wakes accept()
        thread_.join();
    }
    std::string url(const std::string& path) const {
        return "http://127.0.0.1:" + std::to_string(port_) + path;
    }
    // What arrived so far; call after the exchange.
    std::string received() {
        const std::lock_guard lock(mutex_);
        return received_;
    }

  private:
    void serve(const std::string& reply, bool hold) {
        UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer) return;
        std::string request;
        char buffer[4096];
        while (!is_complete(request)) {
            const ssize_t count = ::recv(peer.get(), buffer, sizeof buffer, 0);
            if (count <= 0) break;
            request.append(buffer, static_cast<std::size_t>(count));
        }
        {
            const std::lock_guard lock(mutex_);
            received_ += request;
        }
        std::this_thread::sleep_for(thinks_);
        ::send(peer.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        while (drips_ && ::send(peer.get(), "x", 1, MSG_NOSIGNAL) == 1)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        if (hold) held_.push_back(std::move(peer));
    }
    static bool is_complete(const std::string& request) {
        const auto end = request.find("\r\n\r\n");
        if (end == std::string::npos) return false;
        const auto length = request.find("Content-Length: ");
        if (length == std::string::npos || length > end) return true;
        return request.size() >= end + 4 + std::stoul(request.substr(length + 16));
    }

    std::chrono::milliseconds thinks_;
    const bool drips_;
    int port_ = 0;
    UniqueFd listener_;
    std::mutex mutex_;
    std::string received_;
    std::vector<UniqueFd> held_;
    std::thread thread_;
};

struct Outcome {
    Response head;
    std::string body;
    int heads = 0;
};

Outcome perform(Transport& transport, const Request& request) {
    Outcome out;
    transport.perform(
        request,
        [&](const Response& head) {
            out.head = head;
            ++out.heads;
        },
        [&](Bytes bytes) { out.body.append(as_text(bytes)); });
    return out;
}

Request get(const std::string& url) {
    return {"GET", url, {}, nullptr, 0};
}

std::string network_error(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Network) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing thrown";
    return {};
}

TEST(CurlTransport, HeadAndBodyArrive) {
    RawServer server(
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial\r\nX-One:  a \r\nx-one: b\r\n"
         "Content-Length: 5\r\n\r\nhello"});
    const auto transport = curl_transport();
    auto request = get(server.url("/p?q"));
    request.headers = {{"Range", "bytes=1-"}};
    const auto out = perform(*transport, request);
    EXPECT_EQ(out.heads, 1) << "an interim head is not the response's";
    EXPECT_EQ(out.head.status, 206);
    EXPECT_EQ(out.head.headers.at("x-one"), "a , b");
    EXPECT_EQ(out.body, "hello");
    const auto received = server.received();
    EXPECT_TRUE(received.starts_with("GET /p?q HTTP/1.1\r\n")) << received;
    EXPECT_NE(received.find("\r\nRange: bytes=1-\r\n"), std::string::npos) << received;
    EXPECT_NE(received.find("\r\nUser-Agent: shale/"), std::string::npos) << received;
}

TEST(CurlTransport, RefusalIsAResponse) {
    RawServer server({"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"});
    const auto transport = curl_transport();
    const auto out = perform(*transport, get(server.url("/")));
    EXPECT_EQ(out.head.status, 404);
    EXPECT_EQ(out.body, "no");
}

TEST(CurlTransport, RedirectIsNotFollowed) {
    RawServer server({"HTTP/1.1 307 x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"});
    const auto transport = curl_transport();
    EXPECT_EQ(perform(*transport, get(server.url("/"))).head.headers.at("location"), "/elsewhere");
}

TEST(CurlTransport, HeadRequestWaitsForNoBody) {
    RawServer server({"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"});
    const auto transport = curl_transport();
    const auto out = perform(*transport, {"HEAD", server.url("/"), {}, nullptr, 0});
    EXPECT_EQ(out.head.headers.at("content-length"), "1000");
    EXPECT_EQ(out.body, "");
}

TEST(CurlTransport, BodyIsSentWithItsLength) {
    RawServer server({"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"});
    const auto transport = curl_transport();
    std::string left = "the body";
    const Request put{"PUT",
                      server.url("/up"),
                      {{"Content-Type", "application/octet-stream"}},
                      [&](MutableBytes out) {
                          const std::size_t count = std::min<std::size_t>(3, left.size());
                          std::memcpy(out.data(), left.data(), count);
                          left.erase(0, count);
                          return count;
                      },
                      left.size()};
    EXPECT_EQ(perform(*transport, put).head.status, 201);
    const auto received = server.received();
    EXPECT_TRUE(received.starts_with("PUT /up HTTP/1.1\r\n")) << received;
    EXPECT_NE(received.find("\r\nContent-Length: 8\r\n"), std::string::npos) << received;
    EXPECT_EQ(received.find("Expect:"), std::string::npos) << received;
    EXPECT_TRUE(received.ends_with("\r\n\r\nthe body")) << received;
}

TEST(CurlTransport, PostWithoutABodySaysSo) {
    RawServer server({"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"});
    const auto transport = curl_transport();
    EXPECT_EQ(perform(*transport, {"POST", server.url("/"), {}, nullptr, 0}).head.status, 202);
    EXPECT_NE(server.received().find("\r\nContent-Length: 0\r\n"), std::string::npos);
}

TEST(CurlTransport, NobodyListensIsOneLine) {
    int port = 0;
    { const UniqueFd closed_again = listen_on_loopback(port); }
    const std::string url = "http://127.0.0.1:" + std::to_string(port) + "/v2/";
    const auto transport = curl_transport();
    EXPECT_EQ(network_error([&] { perform(*transport, get(url + "?secret")); }),
              "GET " + url + ": Connection refused");
}

TEST(CurlTransport, ShortBodyIsABrokenTransfer) {
    RawServer server({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"});
    const auto transport = curl_transport();
    std::string seen;
    EXPECT_EQ(network_error([&] {
                  transport->perform(
                      get(server.url("/")), [](const Response&) {},
                      [&](Bytes bytes) { seen.append(as_text(bytes)); });
              }),
              "GET " + server.url("/") + ": the connection was closed before the end of the body");
    EXPECT_EQ(seen, "hello") << "what came is delivered, so that it can be resumed";
}

TEST(CurlTransport, StalledTransferIsGivenUp) {
    RawServer server({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"}, true);
    const auto transport = curl_transport({1, 1});
    EXPECT_EQ(network_error([&] { perform(*transport, get(server.url("/"))); }),
              "GET " + server.url("/") +
                  ": timed out (no answer within 1 s, no data for 1 s, or too little of it)");
}

// A byte now and then is no reason to wait for the rest.
TEST(CurlTransport, ADripIsGivenUpAsAStall) {
    for (const char* begun :
         {"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Header: "}) {
        RawServer server({begun}, false, {}, true);
        const auto transport = curl_transport({1, 1});
        EXPECT_NE(network_error([&] {
                      perform(*transport, get(server.url("/")));
                  }).find("too little of it"),
                  std::string::npos)
            << begun;
    }
}

TEST(CurlTransport, ADeadlineHoldsForWhateverComes) {
    for (const char* begun :
         {"HTTP/1.1 404 x\r\nContent-Length: 10\r\n\r\nhello", "HTTP/1.1 200 OK\r\nX-Header: "}) {
        RawServer server({begun}, true);
        const auto transport = curl_transport({60, 60});
        Request request = get(server.url("/"));
        request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
        EXPECT_NE(network_error([&] { perform(*transport, request); }).find("too little of it"),
                  std::string::npos);
    }
}

Request put(const std::string& url, std::string& left) {
    return {"PUT",
            url,
            {},
            [&left](MutableBytes out) {
                const std::size_t count = std::min(out.size(), left.size());
                std::memcpy(out.data(), left.data(), count);
                left.erase(0, count);
                return count;
            },
            left.size()};
}

TEST(CurlTransport, AnswerToABodyMayTakeLongerThanAStall) {
    RawServer server({"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"}, false,
                     std::chrono::milliseconds(2500));
    const auto transport = curl_transport({1, 1, 60});
    std::string body = "hash me";
    EXPECT_EQ(perform(*transport, put(server.url("/"), body)).head.status, 201);
}

TEST(CurlTransport, AnswerThatNeverComesIsGivenUp) {
    RawServer server({""}, true);
    const auto transport = curl_transport({1, 60, 1});
    std::string body = "hash me";
    EXPECT_NE(
        network_error([&] { perform(*transport, put(server.url("/"), body)); }).find("timed out"),
        std::string::npos);
}

TEST(CurlTransport, StopEndsATransferThatWouldWaitForEver) {
    RawServer server({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"}, true);
    const auto transport = curl_transport();
    std::stop_source source;
    Request request = get(server.url("/"));
    request.stop = source.get_token();
    try {
        transport->perform(
            request, [](const Response&) {}, [&](Bytes) { source.request_stop(); });
        ADD_FAILURE() << "nothing thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Cancelled) << error.what();
    }
}

TEST(CurlTransport, WhatIsNotHttpIsRefused) {
    for (const std::string reply : {"SSH-2.0-OpenSSH\r\n", "", "HTTP/1.1 abc\r\n\r\n"}) {
        RawServer server({reply});
        const auto transport = curl_transport();
        EXPECT_TRUE(network_error([&] {
                        perform(*transport, get(server.url("/")));
                    }).starts_with("GET " + server.url("/") + ": "))
            << reply;
    }
}

TEST(CurlTransport, EndlessHeadIsRefused) {
    std::string reply = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 5000; ++i)
        reply += "X-" + std::to_string(i) + ": " + std::string(80, 'x') + "\r\n";
    RawServer server({reply + "Content-Length: 0\r\n\r\n"});
    const auto transport = curl_transport();
    EXPECT_EQ(network_error([&] { perform(*transport, get(server.url("/"))); }),
              server.url("/") + ": more than 256 KiB of headers");
}

TEST(CurlTransport, OtherProtocolsAreNotSpoken) {
    const auto transport = curl_transport();
    EXPECT_THROW(perform(*transport, get("file:///etc/passwd")), Error);
    EXPECT_THROW(perform(*transport, get("ftp://127.0.0.1/x")), Error);
}

TEST(CurlTransport, ExceptionsOfCallbacksComeBackWhole) {
    const auto transport = curl_transport();
    struct Mine {
        int value;
    };
    const std::string reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    {
        RawServer server({reply});
        EXPECT_THROW(
            transport->perform(
                get(server.url("/")), [](const Response&) { throw Mine{1}; }, [](Bytes) {}),
            Mine);
    }
    {
        RawServer server({reply});
        EXPECT_THROW(
            transport->perform(
                get(server.url("/")), [](const Response&) {}, [](Bytes) { throw Mine{2}; }),
            Mine);
    }
    {
        RawServer server({reply});
        EXPECT_THROW(perform(*transport, {"PUT",
                                          server.url("/"),
                                          {},
                                          [](MutableBytes) -> std::size_t { throw Mine{3}; },
                                          5}),
                     Mine);
    }
    RawServer server({reply});
    EXPECT_EQ(perform(*transport, get(server.url("/"))).body, "hello") << "and it still works";
}

TEST(CurlTransport, ManyThreadsMayAsk) {
    const std::string reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    RawServer server(std::vector<std::string>(16, reply));
    const auto transport = curl_transport();
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 4; ++i)
                good += perform(*transport, get(server.url("/"))).body == "hello";
        });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(good, 16);
}

}  // namespace
}  // namespace shale::http
