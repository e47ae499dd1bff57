// One HTTP exchange as the client sees it: transient failures told apart from final ones, bodies of
// refusals bounded and read, and the loop that tries again.
#pragma once

#include <shale/registry.hpp>

#include <algorithm>

namespace shale::registry {

// A failure that may pass: the connection broke, or the registry said "later". Its kind is Network.
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
    std::function<void(const HttpResponse&)> on_head;
    std::function<void(Bytes)> on_body;
};

struct Reply {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string message;  // what the registry said about a refusal, one bounded printable line

    bool success() const { return status >= 200 && status < 300; }
    // Empty if absent.
    const std::string& header(const std::string& lower_case_name) const;
};

// Throws Transient for a broken connection, 408, 429 and 5xx; what the receiver throws passes.
// Every other status is a Reply.
Reply exchange(HttpTransport& transport, const HttpRequest& request, const Receiver& receiver);

// The first message of a registry's {"errors":[...]} document, or its plain text; safe to print.
std::string error_message(std::string_view body);

// "GET https://host/path: HTTP 404: name unknown"
std::string describe(const HttpRequest& request, const Reply& reply);

// How long to wait before attempt `next` (1 is the first repetition).
std::chrono::milliseconds back_off(int next, const Transient& failure);

// Runs `attempt` until it returns, fails for good, or has been tried `options.attempts` times.
template <typename Attempt>
decltype(auto) with_retries(const Options& options, Attempt&& attempt) {
    for (int next = 1;; ++next) {
        if (options.stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        try {
            return attempt();
        } catch (const Transient& failure) {  // the loop's whole purpose
            if (next >= std::max(1, options.attempts)) throw;
            options.sleep(back_off(next, failure));
        }
    }
}

}  // namespace shale::registry
