// The grammar of git references as builders know it: what is a repository at all, and the two ways
// to say which part of it is meant. A reference comes from a Dockerfile or a command line and ends
// up as arguments of a program, so what could be taken for an option there is refused here.
#include "percent.hpp"

#include <shale/remote.hpp>

#include <algorithm>
#include <map>

namespace shale::remote {
namespace {

constexpr std::size_t kMaxReference = 16 << 10;

[[noreturn]] void refuse(const std::string& why) {
    fail(ErrorKind::Invalid, why);
}

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool all_of(std::string_view text, std::string_view also) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_alnum(c) || also.find(c) != std::string_view::npos;
    });
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

// What a reference is before anything of it is judged.
struct Parts {
    std::string remote;
    std::string_view query, fragment;
};

Parts split(std::string_view text) {
    Parts parts;
    const auto hash = text.find('#');
    if (hash != std::string_view::npos) parts.fragment = text.substr(hash + 1);
    text = text.substr(0, hash);
    const auto mark = text.find('?');
    if (mark != std::string_view::npos) parts.query = text.substr(mark + 1);
    parts.remote = text.substr(0, mark);
    return parts;
}

// "git@host:path": user, host and path as ssh takes them, never a scheme.
bool is_scp_style(std::string_view text) {
    const auto at = text.find('@');
    if (at == std::string_view::npos || !all_of(text.substr(0, at), "-_")) return false;
    const auto colon = text.find(':', at);
    if (colon == std::string_view::npos || text.substr(colon).starts_with("://")) return false;
    return all_of(text.substr(at + 1, colon - at - 1), "-.") && colon + 1 < text.size();
}

// nullopt if the remote is of no kind that git is asked for.
std::optional<std::string> checked_url(const std::string& remote) {
    const auto colon = remote.find("://");
    if (colon == std::string::npos || !all_of(remote.substr(0, colon), "")) return std::nullopt;
    const auto scheme = lower(remote.substr(0, colon));
    const bool http = scheme == "http" || scheme == "https";
    if (!http && scheme != "ssh" && scheme != "git") return std::nullopt;
    const auto rest = remote.substr(colon + 3);
    const auto slash = rest.find('/');
    if (http && (slash == std::string::npos || !rest.ends_with(".git"))) return std::nullopt;
    const auto authority = rest.substr(0, slash);
    const auto host = authority.substr(authority.rfind('@') + 1);
    if (host.empty() || host.starts_with(':')) refuse("git URL " + quoted(remote) + " has no host");
    // Would become an option of ssh.
    if (authority.starts_with('-') || host.starts_with('-'))
        refuse("git URL " + quoted(http::without_password(remote)) + ": strange host");
    return scheme + "://" + rest;
}

using Query = std::map<std::string, std::string, std::less<>>;

Query parse_query(std::string_view text) {
    Query query;
    while (!text.empty()) {
        const auto end = text.find('&');
        const auto pair = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (pair.empty()) continue;
        const auto equals = pair.find('=');
        const auto name = decode_query(pair.substr(0, equals));
        const auto value =
            equals == std::string_view::npos ? "" : decode_query(pair.substr(equals + 1));
        if (!query.emplace(name, value).second)
            refuse("query " + quoted(name) + " has multiple values");
    }
    return query;
}

bool parse_bool(const std::string& name, const std::string& text) {
    static const std::string_view yes[] = {"", "1", "t", "T", "true", "TRUE", "True"};
    static const std::string_view no[] = {"0", "f", "F", "false", "FALSE", "False"};
    if (std::find(std::begin(yes), std::end(yes), text) != std::end(yes)) return true;
    if (std::find(std::begin(no), std::end(no), text) != std::end(no)) return false;
    refuse("invalid " + name + " value: " + quoted(text));
}

void merge(std::string& into, const std::string& value, const std::string& what) {
    if (!into.empty() && into != value)
        refuse(what + " conflicts: " + quoted(into) + " vs " + quoted(value));
    into = value;
}

std::string with_prefix(const std::string& text, std::string_view prefix) {
    return text.starts_with(prefix) ? text : std::string(prefix) + text;
}

void apply_query(const Query& query, GitReference& out) {
    std::string tag, branch;
    for (const auto& [name, value] : query) {
        const bool is_switch =
            name == "submodules" || name == "keep-git-dir" || name == "fetch-by-commit";
        if (value.empty() && !is_switch) refuse("query " + quoted(name) + " has no value");
        if (name == "ref")
            merge(out.ref, value, "ref");
        else if (name == "tag")
            tag = with_prefix(value, "refs/tags/");
        else if (name == "branch")
            branch = with_prefix(value, "refs/heads/");
        else if (name == "subdir")
            merge(out.directory, value, "subdir");
        else if (name == "commit" || name == "checksum")
            merge(out.commit, value, "commit");
        else if (name == "keep-git-dir")
            out.keep_git_dir = parse_bool(name, value);
        else if (name == "submodules")
            out.submodules = parse_bool(name, value);
        else if (name == "fetch-by-commit")
            out.fetch_by_commit = parse_bool(name, value);
        else if (name == "mtime" && (value == "checkout" || value == "commit"))
            out.times_of_commit = value == "commit";
        else if (name == "mtime")
            refuse("invalid mtime value: " + quoted(value) +
                   " (must be \"checkout\" or \"commit\")");
        else
            refuse("unexpected query " + quoted(name));
    }
    if (!tag.empty() && !branch.empty()) refuse("branch conflicts with tag");
    if (!tag.empty()) merge(out.ref, tag, "ref");
    if (!branch.empty()) merge(out.ref, branch, "ref");
}

// What git-check-ref-format(1) forbids in any name, and what would be an option or a refspec.
void check_ref(const std::string& ref) {
    const bool odd = ref.starts_with('-') || ref.starts_with('+') || ref.ends_with(".lock") ||
                     ref.find("..") != std::string::npos ||
                     std::any_of(ref.begin(), ref.end(), [](char c) {
                         return (c >= 0 && c <= ' ') || c == 0x7f ||
                                std::string_view("~^:?*[\\").find(c) != std::string_view::npos;
                     });
    if (odd) refuse("invalid git ref " + quoted(ref));
}

void check_commit(GitReference& reference) {
    auto& commit = reference.commit;
    if (commit.empty()) {
        if (reference.fetch_by_commit && !is_whole_commit(reference.ref))
            refuse("fetch-by-commit requires a checksum or a commit SHA ref");
        return;
    }
    const bool hex = commit.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    if (!hex || commit.size() > 64)
        refuse("invalid checksum " + commit + " for Git URL, expected hex commit hash");
    commit = lower(commit);
    if (reference.fetch_by_commit && !is_whole_commit(commit))
        refuse("fetch-by-commit requires a full commit SHA checksum, got " + quoted(commit));
    // A whole commit says more than the default branch.
    if (reference.ref.empty() && is_whole_commit(commit)) reference.ref = commit;
}

}  // namespace

bool is_whole_commit(std::string_view text) {
    return (text.size() == 40 || text.size() == 64) &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void expect_commit(GitReference& reference, const std::string& commit) {
    reference.commit = commit;
    check_commit(reference);
}

std::optional<GitReference> parse_git(std::string_view text, ShortForm short_form) {
    if (text.starts_with("./") || text.starts_with("../")) return std::nullopt;
    auto parts = split(text);
    GitReference out;
    if (is_scp_style(parts.remote)) {
        out.remote = parts.remote;
    } else {
        const bool is_short =
            short_form == ShortForm::Accepted && parts.remote.starts_with("github.com/");
        if (is_short) parts.remote = "https://" + parts.remote;
        const auto url = is_short ? parts.remote : checked_url(parts.remote);
        if (!url) return std::nullopt;
        out.remote = *url;
    }
    if (text.size() > kMaxReference) refuse("the git URL is too long");
    if (std::any_of(out.remote.begin(), out.remote.end(),
                    [](char c) { return (c >= 0 && c <= ' ') || c == 0x7f; }))
        refuse("the git URL contains blanks or control characters");
    const auto fragment = decode_percent(parts.fragment);
    const auto colon = fragment.find(':');
    out.ref = fragment.substr(0, colon);
    if (colon != std::string::npos) out.directory = fragment.substr(colon + 1);
    apply_query(parse_query(parts.query), out);
    check_ref(out.ref);
    check_commit(out);
    if (out.directory.find('\0') != std::string::npos) refuse("subdir holds a NUL");
    out.directory = clean_absolute_path(out.directory).substr(1);
    return out;
}

}  // namespace shale::remote
