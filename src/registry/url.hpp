// Absolute http and https URLs, as far as a registry client needs them.
#pragma once

#include <shale/base.hpp>

namespace shale::registry {

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

}  // namespace shale::registry
