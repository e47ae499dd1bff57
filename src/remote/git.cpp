// From a reference to a commit, from a commit to a directory.
//
// The checkout is a repository of its own that borrows the mirror's objects: submodules need one,
// and whoever asked for `.git` gets it, packed anew so that it stands alone.
#include "git_mirror.hpp"
#include "git_program.hpp"

#include <shale/confined.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <map>

namespace shale::remote {
namespace {

// What ls-remote prints, "<object>\t<name>" a line; `default_branch` if it was asked for.
struct Listing {
    std::map<std::string, std::string> objects;
    std::string default_branch;
};

Listing list(const GitProgram& git, const std::string& directory, const std::string& remote,
             const std::string& ref) {
    std::vector<std::string> arguments = {"ls-remote", "--symref", "--", remote};
    if (ref.empty()) {
        arguments.push_back("HEAD");
    } else {
        arguments.push_back(ref);
        arguments.push_back(ref + "^{}");
    }
    Listing listing;
    const auto output = git.run(directory, arguments);
    for (std::string_view rest = output; !rest.empty();) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const auto tab = line.find('\t');
        if (tab == std::string_view::npos) continue;
        if (line.starts_with("ref: ")) {
            if (line.substr(tab + 1) == "HEAD") listing.default_branch = line.substr(5, tab - 5);
        } else if (is_whole_commit(line.substr(0, tab))) {
            listing.objects.emplace(line.substr(tab + 1), line.substr(0, tab));
        }
    }
    return listing;
}

std::string without_prefix(const std::string& text, std::string_view prefix) {
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// Which of the listed names is meant: as it stands, then a branch, then a tag.
std::optional<GitCommit> choose(const Listing& listing, const std::string& ref) {
    const auto find = [&](const std::string& name) {
        const auto found = listing.objects.find(name);
        return found == listing.objects.end() ? std::string() : found->second;
    };
    if (ref.empty()) {
        const auto object = find("HEAD");
        if (object.empty()) return std::nullopt;
        const bool is_branch = listing.default_branch.starts_with("refs/heads/");
        return GitCommit{object, object, is_branch ? listing.default_branch : ""};
    }
    for (const std::string& name : {"refs/" + without_prefix(ref, "refs/"),
                                    "refs/heads/" + without_prefix(ref, "refs/heads/"),
                                    "refs/tags/" + without_prefix(ref, "refs/tags/")}) {
        const auto object = find(name);
        if (object.empty()) continue;
        const auto peeled = find(name + "^{}");
        return GitCommit{peeled.empty() ? object : peeled, object, name};
    }
    return std::nullopt;
}

void check_expectation(const GitReference& reference, const GitCommit& commit) {
    if (commit.commit.starts_with(reference.commit) || commit.object.starts_with(reference.commit))
        return;
    std::string got = commit.object;
    if (commit.object != commit.commit) got += " or " + commit.commit;
    fail(ErrorKind::Corrupt, "expected checksum to match " + reference.commit + ", got " + got);
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string percent_decode(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool coded = text[at] == '%' && at + 2 < text.size() &&
                           hex_value(text[at + 1]) >= 0 && hex_value(text[at + 2]) >= 0;
        out += coded ? static_cast<char>(hex_value(text[at + 1]) * 16 + hex_value(text[at + 2]))
                     : text[at];
        if (coded) at += 2;
    }
    return out;
}

// User and password of a URL go the way of tokens, in a header that git gets by its environment.
// Neither the arguments of a process nor a file of the checkout may show them: others may look at
// the one, and whoever gets the image has the other, submodules included.
struct Remote {
    Remote(std::string given, GitAccess with) : url(std::move(given)), access(std::move(with)) {
        if (!is_http_url(url)) return;
        const auto start = url.find("://") + 3;
        const auto end = std::min(url.find_first_of("/?#", start), url.size());
        const auto at = url.substr(0, end).rfind('@');
        if (at == std::string::npos || at < start) return;
        auto user = percent_decode(std::string_view(url).substr(start, at - start));
        if (user.find(':') == std::string::npos) user += ':';
        if (access.authorization.empty()) access.authorization = "Basic " + encode_base64(user);
        url.erase(start, at + 1 - start);
    }
    std::string url;
    GitAccess access;
};

// A shallow repository says of its oldest commits that their parents are elsewhere.
void mark_shallow(const GitProgram& git, const std::string& worktree, const std::string& commit) {
    const auto raw = git.run(worktree, {"cat-file", "commit", commit});
    const auto head = raw.substr(0, raw.find("\n\n"));
    if (head.find("\nparent ") == std::string::npos) return;
    write_file_atomic(worktree + "/.git/shallow", as_bytes(commit + "\n"));
}

// `.git` of the worktree, complete in itself and without a trace of the mirror.
void keep_git_dir(const GitProgram& git, const std::string& worktree, const GitCommit& commit) {
    if (!commit.ref.empty()) git.run(worktree, {"update-ref", commit.ref, commit.object});
    mark_shallow(git, worktree, commit.commit);
    git.run(worktree, {"-c", "pack.threads=1", "repack", "-a", "-d", "-q"});
    for (const char* leftover : {"/.git/objects/info/alternates", "/.git/ORIG_HEAD"})
        ::unlink((worktree + leftover).c_str());
    remove_tree(worktree + "/.git/logs");
}

// With their whole history only where a remote cannot do with less.
void update_submodules(const GitProgram& git, const std::string& worktree) {
    const std::vector<std::string> update = {"submodule", "--quiet", "update", "--init",
                                             "--recursive"};
    auto shallow = update;
    shallow.push_back("--depth=1");
    if (!git.try_run(worktree, shallow).success) git.run(worktree, update);
}

// A tracked file cannot bear that name, so this is git's own: the repository and the pointers to it
// in submodules.
void remove_git_dirs(const std::string& worktree) {
    std::vector<std::string> found;
    const auto options = std::filesystem::directory_options::none;
    for (auto it = std::filesystem::recursive_directory_iterator(worktree, options);
         it != std::filesystem::recursive_directory_iterator(); ++it) {
        if (it->path().filename() != ".git") continue;
        found.push_back(it->path());
        if (it->is_directory() && !it->is_symlink()) it.disable_recursion_pending();
    }
    for (const auto& path : found)
        remove_tree(path);
}

// Symbolic links on the way stay inside the tree, as in a chroot.
std::string directory_within(const std::string& tree, const std::string& wanted) {
    if (wanted.empty()) return tree;
    const auto root = open_file(tree, O_PATH | O_DIRECTORY);
    const UniqueFd fd = open_resolved(root.get(), wanted, O_PATH, RESOLVE_IN_ROOT);
    if (!fd) {
        if (errno == ENOENT || errno == ENOTDIR)
            fail(ErrorKind::NotFound, "subdir \"" + wanted + "\" is not in the repository");
        throw_errno("open", wanted);
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_errno("fstat", wanted);
    if (!S_ISDIR(status.st_mode))
        fail(ErrorKind::Invalid, "subdir \"" + wanted + "\" is not a directory");
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
}

std::int64_t committed_at(const GitProgram& git, const std::string& directory,
                          const std::string& commit) {
    const auto text = git.run(directory, {"show", "-s", "--no-show-signature", "--format=%ct",
                                          "--end-of-options", commit});
    std::int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    return seconds;
}

}  // namespace

Git::Git(std::string directory, GitAccess access, std::stop_token stop)
    : directory_(std::move(directory)), access_(std::move(access)), stop_(std::move(stop)) {
    make_directories(directory_, 0700);  // what a token fetched is nobody else's to read
}

GitCommit Git::resolve(const GitReference& reference) {
    if (is_whole_commit(reference.ref)) {
        const GitCommit commit{reference.ref, reference.ref, ""};
        check_expectation(reference, commit);
        return commit;
    }
    if (reference.fetch_by_commit) {
        auto ref = reference.ref;
        if (!ref.empty() && !ref.starts_with("refs/")) ref = "refs/heads/" + ref;
        return {reference.commit, reference.commit, ref};
    }
    const Remote remote(reference.remote, access_);
    const GitProgram git(reference.remote, remote.access, stop_);
    const auto commit = choose(list(git, directory_, remote.url, reference.ref), reference.ref);
    if (!commit)
        fail(ErrorKind::NotFound,
             git.shown_remote() + ": repository does not contain ref " +
                 (reference.ref.empty() ? "HEAD (it has no commits yet)" : reference.ref));
    check_expectation(reference, *commit);
    return *commit;
}

GitCheckout Git::check_out(const GitReference& reference, const GitCommit& commit,
                           bool keep_git_directory, const std::string& into) {
    const Remote remote(reference.remote, access_);
    const GitProgram git(reference.remote, remote.access, stop_);
    GitMirror mirror(git, directory_, remote.url, commit.object, stop_);
    mirror.fetch(commit.object);
    // What was named as a commit may be a tag.
    GitCommit actual = commit;
    actual.commit = git.run(mirror.path(), {"rev-parse", "--verify", commit.object + "^{commit}"});

    std::vector<std::string> init = {"init", "--quiet", "--template="};
    if (commit.object.size() == 64) init.push_back("--object-format=sha256");
    git.run(into, init);
    make_directories(into + "/.git/objects/info");
    write_file_atomic(into + "/.git/objects/info/alternates",
                      as_bytes(mirror.path() + "/objects\n"));
    git.run(into, {"config", "remote.origin.url", remote.url});
    git.run(into, {"update-ref", "--no-deref", "HEAD", actual.commit});
    git.run(into, {"read-tree", "--reset", "-u", actual.commit});
    if (reference.submodules.value_or(true) && path_exists(into + "/.gitmodules"))
        update_submodules(git, into);

    GitCheckout checkout;
    checkout.commit_time = committed_at(git, mirror.path(), actual.commit);
    if (keep_git_directory && reference.directory.empty()) {
        git.run(into, {"config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"});
        keep_git_dir(git, into, actual);
    } else {
        remove_git_dirs(into);
    }
    checkout.directory = directory_within(into, reference.directory);
    return checkout;
}

std::int64_t Git::commit_time(const GitReference& reference, const GitCommit& commit) {
    const Remote remote(reference.remote, access_);
    const GitProgram git(reference.remote, remote.access, stop_);
    GitMirror mirror(git, directory_, remote.url, commit.object, stop_);
    mirror.fetch(commit.object);
    return committed_at(git, mirror.path(), commit.object + "^{commit}");
}

}  // namespace shale::remote
