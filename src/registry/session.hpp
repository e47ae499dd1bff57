// Authorised requests to one registry: credentials, tokens, redirects.
//
// Tokens are cached per registry and scope, so that a pull of forty layers asks the token server
// once. A credential is sent only to the registry it belongs to and to the token server that this
// registry names, never to where a redirect leads.
#pragma once

#include "challenge.hpp"
#include "wire.hpp"

#include <mutex>

namespace shale::registry {

// Where a registry, or a mirror of one, is found.
struct Endpoint {
    std::string domain;  // whose credentials apply
    Url base;            // scheme, authority and perhaps a path before /v2/
    bool is_mirror = false;
};

struct Request {
    std::string method;
    Url url;
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<std::string> scopes;  // "repository:library/node:pull"
    // The body, from its start, each time it is called; null for none.
    std::function<std::function<std::size_t(MutableBytes)>()> open_body;
    std::uint64_t body_bytes = 0;
    // Of all that it takes: redirects, and asking for a token, too.
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

// May be used from many threads; no lock is held while bytes move.
class Session {
  public:
    Session(const Options& options, HttpTransport& transport)
        : options_(options), transport_(transport) {}

    // Answers challenges and follows redirects; errors as exchange() does. A refusal is a Reply.
    Reply perform(const Endpoint& endpoint, const Request& request, const Receiver& receiver = {});
    // Body of a success as text; Corrupt past `limit`.
    std::pair<Reply, std::string> fetch_document(const Endpoint& endpoint, const Request& request,
                                                 std::uint64_t limit);

  private:
    using Time = std::chrono::steady_clock::time_point;
    struct Authorization {
        std::string header;  // "Bearer ..." or "Basic ..."
        Time expires = Time::max();
    };

    Reply perform_once(const Request& request, const Url& url, const std::string& authorization,
                       const Receiver& receiver);
    std::string known_authorization(const std::string& key);
    std::string answer(const Endpoint& endpoint, const Request& request, Reply& refusal,
                       const std::string& refused_with);
    // nullopt if the token server denies it; `refusal` then says so in its words.
    std::optional<Authorization> fetch_token(const Endpoint& endpoint, const Request& request,
                                             const Challenge& challenge, Reply& refusal);
    std::optional<Credential> credential(const std::string& domain);

    const Options& options_;
    HttpTransport& transport_;
    std::mutex mutex_;                                              // guards the two caches below
    std::map<std::string, Authorization> authorizations_;           // by origin and scopes
    std::map<std::string, std::optional<Credential>> credentials_;  // by domain
};

}  // namespace shale::registry
