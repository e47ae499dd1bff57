// Remotes differ in what they serve: a single object or only tips of branches, with or without
// "only the newest commit". The cheapest request comes first, the next one only after an answer
// that says that the remote cannot do it.
#include "git_mirror.hpp"

#include <shale/codec.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

namespace shale::remote {
namespace {

// There while somebody writes to the mirror. Found by the next owner of the lock, it means that
// git was killed and may have left lock files of its own.
constexpr std::string_view kBusy = ".busy";

UniqueFd lock_file(const std::string& path, const std::stop_token& stop) {
    auto fd = open_file(path, O_RDWR | O_CREAT);
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) throw_errno("flock", path);
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return fd;
}

bool says(const std::string& complaint, std::initializer_list<std::string_view> phrases) {
    for (const auto phrase : phrases)
        if (complaint.find(phrase) != std::string::npos) return true;
    return false;
}

// The remote, or this git, can do less than was asked for; something else may work.
bool is_incapable(const std::string& complaint) {
    return says(complaint, {"shallow", "--depth", "not our ref", "unadvertised", "remote ref",
                            "does not allow request", "no such remote ref"});
}

}  // namespace

GitMirror::GitMirror(const GitProgram& git, const std::string& directory, const std::string& remote,
                     std::string_view object, std::stop_token stop)
    : git_(git), remote_(remote) {
    const bool is_sha256 = object.size() == 64;
    path_ = join_path(directory, codec::sha256(remote + (is_sha256 ? " sha256" : " sha1")).hex());
    lock_ = lock_file(path_ + ".lock", stop);
    ::futimens(lock_.get(), nullptr);  // for whoever collects mirrors: used now
    if (path_exists(join_path(path_, kBusy))) remove_tree(path_);
    prepare(is_sha256);
}

void GitMirror::prepare(bool is_sha256) {
    if (path_exists(join_path(path_, "HEAD"))) return;
    make_directories(path_);
    write_file_atomic(join_path(path_, kBusy), {});
    std::vector<std::string> init = {"init", "--quiet", "--bare", "--template="};
    if (is_sha256) init.push_back("--object-format=sha256");
    git_.run(path_, init);
    ::unlink(join_path(path_, kBusy).c_str());
}

bool GitMirror::has(const std::string& object) const {
    return git_.try_run(path_, {"cat-file", "-e", object + "^{tree}"}).success;
}

bool GitMirror::attempt(const std::string& object, const std::vector<std::string>& arguments) {
    const auto answer = git_.try_run(path_, arguments);
    if (answer.success && has(object)) return true;
    if (!answer.success && !is_incapable(answer.complaint)) git_.report(answer);
    return false;
}

void GitMirror::fetch(const std::string& object) {
    if (has(object)) return;
    write_file_atomic(join_path(path_, kBusy), {});
    const std::string kept = object + ":refs/shale/" + object;  // a ref, so that nothing drops it
    const std::vector<std::string> common = {"fetch",
                                             "--quiet",
                                             "--force",
                                             "--no-tags",
                                             "--no-write-fetch-head",
                                             "--no-recurse-submodules"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), common.begin(), common.end());
        return more;
    };
    const bool found =
        attempt(object, with({"--depth=1", "--", remote_, kept})) ||
        attempt(object, with({"--", remote_, kept})) ||
        attempt(object, with({"--", remote_, "+refs/heads/*:refs/remotes/heads/*",
                              "+refs/tags/*:refs/remotes/tags/*"})) ||
        // Of a repository fetched with less history before, the rest of it.
        attempt(object, with({"--unshallow", "--", remote_, "+refs/heads/*:refs/remotes/heads/*",
                              "+refs/tags/*:refs/remotes/tags/*"}));
    ::unlink(join_path(path_, kBusy).c_str());
    if (!found)
        fail(ErrorKind::NotFound,
             git_.shown_remote() + ": repository does not contain commit " + object);
}

}  // namespace shale::remote
