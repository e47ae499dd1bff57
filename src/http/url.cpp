// URL syntax. Locations come from strangers: anything with control characters, a password or
// another scheme is refused rather than handed on to the transport.
#include <shale/http.hpp>

#include <arpa/inet.h>

#include <algorithm>

namespace shale::http {
namespace {

constexpr std::size_t kMaxUrlLength = 16 << 10;  // signed storage URLs reach a few kilobytes

[[noreturn]] void refuse(std::string_view what, std::string_view why) {
    fail(ErrorKind::Network, std::string(what) + ": " + std::string(why));
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

std::string effective_authority(const Url& url) {
    const bool bracketed = url.authority.starts_with('[');
    const auto colon = url.authority.find(':', bracketed ? url.authority.find(']') : 0);
    if (colon != std::string::npos) return url.authority;
    return url.authority + (url.scheme == "https" ? ":443" : ":80");
}

}  // namespace

std::string without_password(std::string_view url) {
    const auto start = url.find("://");
    if (start == std::string_view::npos) return std::string(url);
    const auto authority = url.substr(start + 3, url.find_first_of("/?#", start + 3) - start - 3);
    const auto at = authority.rfind('@');
    if (at == std::string_view::npos) return std::string(url);
    return std::string(url.substr(0, start + 3)) + "***" + std::string(url.substr(start + 3 + at));
}

Url Url::parse(std::string_view text, std::string_view what) {
    if (text.size() > kMaxUrlLength) refuse(what, "the URL is too long");
    // Everything above ASCII must come percent-encoded; 0x7f and below 0x21 could split a request.
    if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == 0x7f; }))
        refuse(what, "the URL contains blanks or control characters");
    const auto colon = text.find("://");
    if (colon == std::string_view::npos) refuse(what, "not an absolute URL");
    Url out;
    out.scheme = lower(text.substr(0, colon));
    if (out.scheme != "http" && out.scheme != "https")
        refuse(what, "neither an http nor an https URL");
    auto rest = text.substr(colon + 3);
    rest = rest.substr(0, rest.find('#'));
    const auto authority_end = rest.find_first_of("/?");
    out.authority = lower(rest.substr(0, authority_end));
    if (out.authority.find('@') != std::string::npos) refuse(what, "the URL carries a password");
    if (out.host().empty()) refuse(what, "the URL names no host");
    if (authority_end == std::string_view::npos) return out;
    rest.remove_prefix(authority_end);
    const auto mark = rest.find('?');
    out.path = rest.substr(0, mark);
    if (mark != std::string_view::npos) out.query = rest.substr(mark + 1);
    return out;
}

Url Url::resolve(std::string_view location) const {
    const std::string what = "Location of " + without_query();
    if (location.empty()) refuse(what, "missing");
    if (location.starts_with("//")) return parse(scheme + ":" + std::string(location), what);
    const auto scheme_end = location.find("://");
    if (scheme_end != std::string_view::npos && scheme_end < location.find_first_of("/?"))
        return parse(location, what);
    const std::string root = scheme + "://" + authority;
    if (location.starts_with('/')) return parse(root + std::string(location), what);
    if (location.starts_with('?')) return parse(root + path + std::string(location), what);
    const std::string folder = path.substr(0, path.rfind('/') + 1);
    return parse(root + (folder.empty() ? "/" : folder) + std::string(location), what);
}

std::string Url::str() const {
    return query.empty() ? without_query() : without_query() + "?" + query;
}

std::string Url::host() const {
    return host_of(authority);
}

bool Url::same_origin(const Url& other) const {
    return scheme == other.scheme && effective_authority(*this) == effective_authority(other);
}

std::string host_of(std::string_view authority) {
    if (authority.starts_with('[')) {
        const auto end = authority.find(']');
        return std::string(authority.substr(1, end == std::string_view::npos ? 0 : end - 1));
    }
    return std::string(authority.substr(0, authority.find(':')));
}

bool is_loopback(std::string_view host) {
    const std::string name = lower(host);
    if (name == "localhost") return true;
    in_addr v4{};
    if (::inet_pton(AF_INET, name.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    in6_addr v6{};
    return ::inet_pton(AF_INET6, name.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string percent_encode(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (is_unreserved(c)) {
            out.push_back(c);
            continue;
        }
        out.append("%").append(to_hex(as_bytes(std::string_view(&c, 1))));
    }
    return out;
}

}  // namespace shale::http
