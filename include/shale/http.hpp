// http: one HTTP exchange at a time, for whoever speaks it: the registry client and downloads.
//
// The transport is a seam that tests replace; libcurl stops behind it. What is the same for every
// user of HTTP stands beside it: URLs, transient failures told apart from final ones, bounded
// bodies of refusals, and the loop that tries again.
#pragma once

#include <shale/base.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::http {

// Redirects are the caller's business, not the transport's.
struct Request {
    std::string method;
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    // Request body, pulled piece by piece; null for none.
    std::function<std::size_t(MutableBytes)> body;
    std::uint64_t body_bytes = 0;
    std::stop_token stop{};  // ends the exchange with Cancelled
    // Ends it as a silent peer does, however busy the peer is.
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};
struct Response {
    int status = 0;
    std::map<std::string, std::string> headers;  // lower-case names; repeated ones joined by ", "
};
// Implementations are safe from any thread.
class Transport {
  public:
    virtual ~Transport() = default;
    // Body bytes go to `on_body` after `on_head` was called with status and headers. Throws Network
    // when no response could be had or the transfer broke; what a callback throws passes through.
    virtual void perform(const Request& request,
                         const std::function<void(const Response&)>& on_head,
                         const std::function<void(Bytes)>& on_body) = 0;
};
struct TransportLimits {
    int connect_seconds = 20;
    int stall_seconds = 60;  // in which less than 32 KiB move in both directions together
    // For the answer to a body that has been sent: a registry may hash gigabytes before it speaks.
    int answer_seconds = 1800;
};
// HTTP/1.1 and 2 by libcurl; the system's CA bundle, or $SSL_CERT_FILE; proxies from the
// environment, but never for loopback hosts.
std::unique_ptr<Transport> curl_transport(const TransportLimits& limits = {});

// ---------------------------------------------------------------------------------------------
// Absolute http and https URLs.

struct Url {
    std::string scheme;     // http or https
    std::string authority;  // host[:port], lower case
    std::string path;       // begins with '/', or empty
    std::string query;      // without the '?'

    // Network: `what` gave a malformed URL, another scheme, or one that carries a password.
    static Url parse(std::string_view text, std::string_view what);
    // What a Location header means to a request for this URL (RFC 3986, 5.2, without dot segments).
    Url resolve(std::string_view location) const;

    std::string str() const;
    // For messages: signed URLs carry secrets in their query.
    std::string without_query() const { return scheme + "://" + authority + path; }
    std::string host() const;  // without port and brackets
    bool same_origin(const Url& other) const;
};

// 127.0.0.0/8, ::1 and localhost.
bool is_loopback(std::string_view host);
// `authority` is host[:port].
std::string host_of(std::string_view authority);
// For one value of a query: all but unreserved characters become %XX.
std::string percent_encode(std::string_view text);
// `url` fit to be shown: user and password become "***".
std::string without_password(std::string_view url);

// ---------------------------------------------------------------------------------------------
// Attempts.

// A failure that may pass: the connection broke, or the server said "later". Its kind is Network.
class Transient : public Error {
  public:
    explicit Transient(const std::string& text,
                       std::optional<std::chrono::seconds> retry_after = std::nullopt)
        : Error(ErrorKind::Network, text), retry_after_(retry_after) {}
    std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }

  private:
    std::optional<std::chrono::seconds> retry_after_;
};

// A Network failure of a transport that no second attempt will cure: the peer's certificate.
class Hopeless : public Error {
  public:
    explicit Hopeless(const std::string& text) : Error(ErrorKind::Network, text) {}
};

// Gets the head and the body of a success (2xx); null members ignore theirs.
struct Receiver {
    std::function<void(const Response&)> on_head;
    std::function<void(Bytes)> on_body;
};

struct Reply {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string message;  // what the server said about a refusal, one bounded printable line

    bool success() const { return status >= 200 && status < 300; }
    // Empty if absent.
    const std::string& header(const std::string& lower_case_name) const;
};

// Finds the message in the (bounded) body of a refusal.
using Explain = std::function<std::string(std::string_view body)>;
// The first line of a plain text; nothing of an HTML page.
std::string first_line(std::string_view body);
// At most 300 bytes of it, printable and on one line: the text goes to a terminal.
std::string one_line(std::string_view text);

// Throws Transient for a broken connection, 408, 429 and 5xx; what the receiver throws passes.
// Every other status is a Reply.
Reply exchange(Transport& transport, const Request& request, const Receiver& receiver,
               const Explain& explain);

// "GET https://host/path: HTTP 404: name unknown"
std::string describe(const Request& request, const Reply& reply);

// How long to wait before attempt `next` (1 is the first repetition).
std::chrono::milliseconds back_off(int next, const Transient& failure);

// Runs `attempt` until it returns, fails for good, or has been tried `patience.attempts` times.
// `patience` also has `sleep` and `stop`, as registry::Options.
template <typename Patience, typename Attempt>
decltype(auto) with_retries(const Patience& patience, Attempt&& attempt) {
    for (int next = 1;; ++next) {
        if (patience.stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        try {
            return attempt();
        } catch (const Transient& failure) {  // the loop's whole purpose
            if (next >= std::max(1, patience.attempts)) throw;
            patience.sleep(back_off(next, failure));
        }
    }
}

}  // namespace shale::http
