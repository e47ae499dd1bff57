// <hex>/upper, <hex>/about.json and <hex>/edits/, under the digest of the tree after the step;
// beside it <hex>.lock, whose time of modification says when it was last used. Users hold the lock
// shared; who removes a directory must get it alone, moves the directory away, and removes the lock
// file, so a lock counts only as long as its file has its name.
#include "durable.hpp"
#include "reserve.hpp"

#include <shale/unpacked_steps.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

namespace shale::store {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostAboutBytes = 64 << 10;
constexpr std::size_t kMostNameBytes = 1 << 10;  // of a RUN, which may be a whole script
constexpr mode_t kMode = 0700;
// Of one step. A new one for each build in which a source file changed.
constexpr std::size_t kMostEdits = 64;
// Each is looked at when a build wants to know of an edit.
constexpr std::size_t kMostSteps = 256;

// The lock of what lies at `path`, if `operation` (of flock(2)) can be had at once.
UniqueFd lock(const std::string& path, int operation) {
    const std::string file = path + ".lock";
    UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) throw_errno("open", file);
    if (::flock(fd.get(), operation | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) throw_errno("flock", file);
        return {};
    }
    struct stat held {};
    struct stat named {};
    if (::fstat(fd.get(), &held) != 0) throw_errno("fstat", file);
    if (::lstat(file.c_str(), &named) != 0 || held.st_dev != named.st_dev ||
        held.st_ino != named.st_ino)
        return {};  // removed in between
    return fd;
}

struct Found {
    UnpackedSteps::About about;
    // Nothing was lost: the system was not started again, it is not a copy, which could lack the
    // marks of overlayfs, and owners mean the same users.
    bool is_whole = false;
};

// Of this process's namespace, as numbers outside of it.
std::string users() {
    return read_file("/proc/self/uid_map") + read_file("/proc/self/gid_map");
}

// Both as they are when they are first asked for: a process that enters a namespace does so before.
const std::string& this_boot() {
    static const std::string boot = boot_id();
    return boot;
}
const std::string& these_users() {
    static const std::string all = users();
    return all;
}

// What tells a directory from its copy, and from itself after a chown or chmod of all that is
// there; empty if there is none.
std::string identity_of(const std::string& directory) {
    struct stat status {};
    if (::lstat(directory.c_str(), &status) != 0) return {};
    return fmt::format("{}:{}:{}", status.st_dev, status.st_ino, to_ns(status.st_ctim));
}

// nullopt if that is no description.
std::optional<Found> read_about(const std::string& path) {
    try {
        const auto json = nlohmann::json::parse(
            read_file(join_path(path, "about.json"), kMostAboutBytes), nullptr, false);
        if (!json.is_object()) return std::nullopt;
        const auto before = Digest::from_hex(json.value("before", std::string()));
        if (!before) return std::nullopt;
        const std::string identity = identity_of(join_path(path, "upper"));
        return Found{
            {*before, json.value("bytes", std::uint64_t{0}), json.value("name", std::string())},
            json.value("boot", std::string()) == this_boot() && !identity.empty() &&
                json.value("directory", std::string()) == identity &&
                json.value("users", std::string()) == these_users()};
    } catch (const Error&) {                      // absent
    } catch (const nlohmann::json::exception&) {  // of another type
    }
    return std::nullopt;
}

// Not synced: nothing else here is.
void write_about(const std::string& path, const std::string& text) {
    const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    write_all(fd.get(), as_bytes(text), path);
}

struct Kept {
    Digest after;
    std::int64_t used_ns = 0;
    Found found;
};

std::vector<Kept> all_in(const std::string& directory) {
    std::vector<Kept> all;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        // A lock whose directory is not there, or not yet, counts as one of nothing.
        const auto after = Digest::from_hex(at->path().stem().string());
        if (!after) continue;
        const auto path = join_path(directory, after->hex());
        if (at->path().has_extension() && path_exists(path)) continue;
        struct stat status {};
        const bool is_locked = ::lstat((path + ".lock").c_str(), &status) == 0;
        all.push_back(
            {*after, is_locked ? to_ns(status.st_mtim) : 0, read_about(path).value_or(Found())});
    }
    return all;
}

}  // namespace

UnpackedSteps::UnpackedSteps(Store& store)
    : store_(store), directory_(store.unpacked_steps_path()) {}

std::string UnpackedSteps::path_of(const Digest& after) const {
    return join_path(directory_, after.hex());
}

bool UnpackedSteps::has(const Digest& after) const {
    const auto found = read_about(path_of(after));
    return found && found->is_whole;
}

std::optional<UnpackedSteps::Step> UnpackedSteps::find(const Digest& after) const {
    const auto path = path_of(after);
    if (!has(after)) return std::nullopt;
    auto lease = lock(path, LOCK_SH);
    if (!lease) return std::nullopt;
    const auto found = read_about(path);  // by now it could be another
    if (!found || !found->is_whole) return std::nullopt;
    if (::futimens(lease.get(), nullptr) != 0) throw_errno("futimens", path);
    return Step{found->about.before, join_path(path, "upper"), std::move(lease)};
}

bool UnpackedSteps::remove(const Digest& after) const {
    const auto path = path_of(after);
    const auto alone = lock(path, LOCK_EX);
    if (!alone) return false;
    const TempDir grave = store_.scratch("unpacked-");
    if (::rename(path.c_str(), join_path(grave.path(), "step").c_str()) != 0 && errno != ENOENT)
        throw_errno("rename", path);
    ::unlink((path + ".lock").c_str());
    return true;
}

bool UnpackedSteps::make_room_for(std::uint64_t bytes) const {
    // The bytes themselves are on the disk already.
    if (bytes > kMostBytes / 2 || !has_spare_room(directory_, 0)) return false;
    auto all = all_in(directory_);
    std::ranges::sort(
        all, {}, [](const Kept& kept) { return std::pair(kept.found.is_whole, kept.used_ns); });
    std::uint64_t total = bytes;
    std::size_t count = all.size() + 1;
    for (const Kept& kept : all)
        total += kept.found.about.bytes;
    for (const Kept& kept : all) {
        const bool is_to_go = total > kMostBytes || count > kMostSteps || !kept.found.is_whole;
        if (!is_to_go || !remove(kept.after)) continue;
        total -= kept.found.about.bytes;
        --count;
    }
    return total <= kMostBytes && count <= kMostSteps;
}

bool UnpackedSteps::put(const Digest& after, const About& about, const std::string& upper) {
    struct stat owner {};
    if (::stat(store_.root().c_str(), &owner) != 0) throw_errno("stat", store_.root());
    if (owner.st_uid != ::geteuid()) return false;  // who could not remove it, nor use it
    // Programs in it may be set-user-ID, and are for no other user, whatever the mode was.
    make_directories(directory_, kMode);
    if (::chmod(directory_.c_str(), kMode) != 0) throw_errno("chmod", directory_);
    const auto path = path_of(after);
    if (has(after) || !make_room_for(about.bytes) || path_exists(path)) return false;
    const TempDir scratch = store_.scratch("unpacked-");
    const auto step = join_path(scratch.path(), "step");
    make_directories(join_path(step, "edits"));
    const auto held = lock(path, LOCK_SH);
    if (!held) return false;
    if (::futimens(held.get(), nullptr) != 0)
        throw_errno("futimens", path);  // one may be left over
    const auto moved = join_path(step, "upper");
    if (::rename(upper.c_str(), moved.c_str()) != 0) throw_errno("rename", upper);
    const nlohmann::ordered_json json = {{"before", about.before.hex()},
                                         {"bytes", about.bytes},
                                         {"name", about.name.substr(0, kMostNameBytes)},
                                         {"boot", this_boot()},
                                         {"directory", identity_of(moved)},
                                         {"users", these_users()}};
    write_about(join_path(step, "about.json"),
                json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    if (::rename(step.c_str(), path.c_str()) == 0) return true;
    if (errno != EEXIST && errno != ENOTEMPTY) throw_errno("rename", path);
    return false;  // somebody was faster; `upper` goes with the scratch directory
}

void UnpackedSteps::note_edit(const Digest& edited, const Digest& of) {
    const auto edits = join_path(path_of(of), "edits");
    std::error_code error;
    std::size_t count = 0;
    for (fs::directory_iterator at(edits, error), end; !error && at != end; at.increment(error))
        ++count;
    if (error) return;  // not here any more
    if (count >= kMostEdits)
        for (fs::directory_iterator at(edits, error), end; !error && at != end; at.increment(error))
            ::unlink(at->path().c_str());
    const auto file = join_path(edits, edited.hex());
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd && errno != ENOENT) throw_errno("open", file);
}

std::optional<Digest> UnpackedSteps::origin_of(const Digest& edited) const {
    std::error_code error;
    for (fs::directory_iterator at(directory_, error), end; !error && at != end;
         at.increment(error)) {
        const auto after = Digest::from_hex(at->path().filename().string());
        if (after && path_exists(join_path(path_of(*after), "edits/" + edited.hex())) &&
            has(*after))
            return after;
    }
    return std::nullopt;
}

}  // namespace shale::store
