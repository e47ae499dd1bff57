// remote: where files come from that are not on this machine. Downloads over HTTP, and git
// repositories through the `git` program.
//
// Nothing here knows builds or stores: a download becomes a file, a commit becomes a directory, and
// what must outlive the command (validators of downloads, mirrors of repositories) lies in a
// directory that the caller names (docs/formats/store.md). Everything that arrives is hostile:
// references cannot become options, a repository's configuration and hooks are never obeyed, only
// http, https, git and ssh are spoken, and every size has a bound.
//
// Objects may be used from many threads, and directories by many processes.
#pragma once

#include <shale/base.hpp>
#include <shale/http.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace shale::remote {

// ---------------------------------------------------------------------------------------------
// Names.

bool is_http_url(std::string_view text);  // http:// or https://
// Last component of the URL's path, percent-decoded; "__unnamed__" if there is none. Query and
// fragment do not count.
std::string file_name(std::string_view url);

// A repository and what of it is wanted: `https://host/repo.git#ref:subdir`, the same as a query
// (`?ref=`, tag, branch, commit or checksum, subdir, keep-git-dir, submodules, mtime,
// fetch-by-commit), `ssh://`, `git://`, `git@host:path`.
struct GitReference {
    std::string remote;     // for git; without query and fragment
    std::string ref;        // a branch, tag, "refs/..." or whole commit; empty: the default branch
    std::string directory;  // clean and relative; empty: the whole tree
    std::string commit;     // hexadecimal, perhaps a prefix: what `ref` must be
    std::optional<bool> keep_git_dir, submodules;
    bool times_of_commit = false;
    bool fetch_by_commit = false;  // believe `commit`, do not ask what `ref` is

    bool operator==(const GitReference&) const = default;
};
// nullopt if the text names no repository, but a file or something to download. Invalid if it does
// and is wrong: `unexpected query "x"`, `ref conflicts: "a" vs "b"`.
enum class ShortForm { Refused, Accepted };  // github.com/owner/name
std::optional<GitReference> parse_git(std::string_view text,
                                      ShortForm short_form = ShortForm::Refused);
// Sets `commit` from elsewhere, with the checks of parse_git().
void expect_commit(GitReference& reference, const std::string& commit);
// 40 or 64 hexadecimal digits.
bool is_whole_commit(std::string_view text);

// "sha256:<hex>", also sha384 and sha512. Invalid: `invalid checksum digest format`, `unsupported
// digest algorithm`.
enum class HashAlgorithm { Sha256, Sha384, Sha512 };
struct Checksum {
    HashAlgorithm algorithm{};
    std::string hex;
    std::string str() const;

    static Checksum parse(std::string_view text);
};

std::string encode_base64(std::string_view text);

// Seconds since the epoch of an HTTP date (RFC 9110, 5.6.7; the preferred form only).
std::optional<std::int64_t> parse_http_date(std::string_view text);

// ---------------------------------------------------------------------------------------------
// Downloads.

struct Download {
    Digest content;
    std::uint64_t size = 0;
    std::optional<std::int64_t> last_modified;  // seconds
    bool arrived = false;  // in the file; otherwise the contents are those that are at hand
};

struct DownloadRequest {
    std::string url;            // may carry user and password; they become a header
    std::string authorization;  // value of that header, for the URL's own host only
    std::optional<Checksum> checksum;
    std::string file;  // where the bytes go if they have to come; created or replaced
    // Whether contents of an earlier download are still at hand: then the server is only asked
    // whether they are still true, and with a checksum nobody is asked at all.
    std::function<bool(const Digest&)> at_hand;
    std::function<void(std::uint64_t current, std::uint64_t total)> on_progress;
    std::uint64_t max_bytes = 64ull << 30;
    std::stop_token stop{};
};

struct Patience {
    int attempts = 4;  // before a transient failure is final
    std::function<void(std::chrono::milliseconds)> sleep{};
    std::stop_token stop{};
};

class Downloader {
  public:
    // Validators are remembered in `directory`, one small file per URL.
    Downloader(std::shared_ptr<http::Transport> transport, std::string directory,
               Patience patience = {});

    // Network: `invalid response status 404`; Corrupt: `digest mismatch for URL: got (expected:
    // want)`.
    Download fetch(const DownloadRequest& request);

  private:
    std::shared_ptr<http::Transport> transport_;
    std::string directory_;
    Patience patience_;
};

// ---------------------------------------------------------------------------------------------
// Git.

struct GitAccess {
    std::string authorization;  // value of an HTTP header for the repository's host; empty: none
    std::string ssh_agent;      // socket; empty: no key of anybody's is used
};

struct GitCommit {
    std::string commit;  // what is checked out
    std::string object;  // what the reference points to: the commit, or an annotated tag
    std::string ref;     // "refs/heads/main"; empty if a commit was named
};

struct GitCheckout {
    std::string directory;         // the wanted part of the tree; `.git` files are none of it
    std::int64_t commit_time = 0;  // seconds; when it was committed
};

class Git {
  public:
    // Mirrors of repositories are kept below `directory`. `on_log` gets what git says, in lines.
    Git(std::string directory, GitAccess access = {}, std::stop_token stop = {});

    // Asks the remote what the reference is now; nobody, if it names a whole commit. NotFound:
    // `repository does not contain ref x`; Corrupt: `expected checksum to match x, got y`.
    GitCommit resolve(const GitReference& reference);
    // Writes the tree below `into`, which must be an empty directory. With `keep_git_dir` there is
    // a `.git` in it with this one commit, and nothing in it says how it was fetched.
    GitCheckout check_out(const GitReference& reference, const GitCommit& commit, bool keep_git_dir,
                          const std::string& into);
    std::int64_t commit_time(const GitReference& reference, const GitCommit& commit);

  private:
    std::string directory_;
    GitAccess access_;
    std::stop_token stop_;
};

}  // namespace shale::remote
