// Image references: the grammar of distribution/reference with Docker Hub's defaults.
//
//   reference := name [ ":" tag ] [ "@" digest ]
//   name      := [ domain "/" ] component { "/" component }
//   component := alnum { separator alnum }    separator: one of . _ __ or any run of -
//
// Whether the first component is a domain is decided by its looks alone, before the grammar is
// applied: "localhost/x" and "a.b/x" name a registry, "team/x" is a repository of Docker Hub.
#include <shale/oci.hpp>

#include <algorithm>

namespace shale::oci {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kLegacyDomain = "index.docker.io";
constexpr std::string_view kOfficialPrefix = "library/";
constexpr std::string_view kDefaultTag = "latest";
constexpr std::size_t kMaxNameLength = 255;
constexpr std::size_t kMaxTagLength = 128;

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_lower_alnum(char c) {
    return is_lower(c) || is_digit(c);
}
bool is_alnum(char c) {
    return is_lower_alnum(c) || is_upper(c);
}
bool has_upper(std::string_view text) {
    return std::any_of(text.begin(), text.end(), is_upper);
}

[[noreturn]] void refuse(std::string_view text, std::string_view why = {}) {
    constexpr std::size_t kMaxQuoted = 300;
    std::string message = "invalid reference format: \"";
    message.append(text.substr(0, kMaxQuoted)).append(text.size() > kMaxQuoted ? "...\"" : "\"");
    if (!why.empty()) message.append(": ").append(why);
    fail(ErrorKind::Invalid, message);
}

bool is_separator(std::string_view run) {
    return run == "." || run == "_" || run == "__" ||
           (!run.empty() && run.find_first_not_of('-') == std::string_view::npos);
}

bool is_path_component(std::string_view text) {
    std::size_t at = 0;
    const auto skip_alnum = [&] {
        const std::size_t start = at;
        while (at < text.size() && is_lower_alnum(text[at]))
            ++at;
        return at > start;
    };
    if (!skip_alnum()) return false;
    while (at < text.size()) {
        const std::size_t start = at;
        while (at < text.size() && !is_lower_alnum(text[at]))
            ++at;
        if (!is_separator(text.substr(start, at - start)) || !skip_alnum()) return false;
    }
    return true;
}

bool is_path(std::string_view path) {
    while (true) {
        const auto slash = path.find('/');
        if (!is_path_component(path.substr(0, slash))) return false;
        if (slash == std::string_view::npos) return true;
        path.remove_prefix(slash + 1);
    }
}

bool is_host_label(std::string_view label) {
    return !label.empty() && is_alnum(label.front()) && is_alnum(label.back()) &&
           std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_host_name(std::string_view host) {
    while (true) {
        const auto dot = host.find('.');
        if (!is_host_label(host.substr(0, dot))) return false;
        if (dot == std::string_view::npos) return true;
        host.remove_prefix(dot + 1);
    }
}

// "[::1]": only the characters are checked; the resolver knows the rest.
bool is_bracketed_address(std::string_view host) {
    if (host.size() < 4 || host.front() != '[' || host.back() != ']') return false;
    const auto inner = host.substr(1, host.size() - 2);
    return inner.find_first_not_of("0123456789abcdefABCDEF:") == std::string_view::npos;
}

bool is_domain(std::string_view domain) {
    const auto bracket = domain.rfind(']');
    const auto colon = domain.find(':', bracket == std::string_view::npos ? 0 : bracket);
    const auto host = domain.substr(0, colon);
    if (colon != std::string_view::npos) {
        const auto port = domain.substr(colon + 1);
        if (port.empty() || !std::all_of(port.begin(), port.end(), is_digit)) return false;
    }
    return is_host_name(host) || is_bracketed_address(host);
}

bool is_tag(std::string_view tag) {
    if (tag.empty() || tag.size() > kMaxTagLength || tag.front() == '.' || tag.front() == '-')
        return false;
    return std::all_of(tag.begin(), tag.end(),
                       [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool looks_like_domain(std::string_view component) {
    return component.find_first_of(".:") != std::string_view::npos || component == "localhost" ||
           has_upper(component);
}

// Splits "[domain/]path" and fills in what Docker Hub implies.
void parse_name(std::string_view name, Reference& out) {
    const auto slash = name.find('/');
    out.domain = kDefaultDomain;
    if (slash != std::string_view::npos && looks_like_domain(name.substr(0, slash))) {
        out.domain = name.substr(0, slash);
        name.remove_prefix(slash + 1);
    }
    if (out.domain == kLegacyDomain) out.domain = kDefaultDomain;
    const bool official = out.domain == kDefaultDomain && name.find('/') == std::string_view::npos;
    out.repository = official ? std::string(kOfficialPrefix).append(name) : std::string(name);
}

}  // namespace

Reference Reference::parse(std::string_view text) {
    Reference out;
    auto rest = text;
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
        out.digest = in_context([] { return std::string("invalid reference format"); },
                                [&] { return Digest::parse(rest.substr(at + 1)); });
        rest = rest.substr(0, at);
    }
    // A colon before the last slash belongs to the port of the domain.
    const auto slash = rest.rfind('/');
    const auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
    if (colon != std::string_view::npos) {
        if (!is_tag(rest.substr(colon + 1))) refuse(text);
        out.tag = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
    } else if (!out.digest) {
        out.tag = kDefaultTag;
    }
    // Docker took 64 hex digits for an image ID; a repository of that name could not be told apart.
    if (Digest::from_hex(text)) refuse(text, "64 hexadecimal digits cannot be a repository name");
    parse_name(rest, out);
    if (has_upper(out.repository)) refuse(text, "repository name must be lowercase");
    if (!is_domain(out.domain) || !is_path(out.repository)) refuse(text);
    if (out.repository.size() > kMaxNameLength)
        refuse(text, "repository name must not be more than 255 characters");
    return out;
}

std::string Reference::str() const {
    std::string out = domain + "/" + repository;
    if (!tag.empty()) out += ":" + tag;
    if (digest) out += "@" + digest->str();
    return out;
}

std::string Reference::familiar() const {
    std::string out = str();
    if (domain != kDefaultDomain) return out;
    // docker.io/a.b/c keeps its domain: without it, a.b would be read as one.
    const auto slash = repository.find('/');
    const auto first = std::string_view(repository).substr(0, slash);
    if (slash != std::string::npos && looks_like_domain(first)) return out;
    out.erase(0, kDefaultDomain.size() + 1);
    // library/a/b stays as it is: without the prefix it would be read as user "a".
    const bool official = repository.starts_with(kOfficialPrefix) &&
                          repository.find('/', kOfficialPrefix.size()) == std::string::npos;
    if (official) out.erase(0, kOfficialPrefix.size());
    return out;
}

}  // namespace shale::oci
