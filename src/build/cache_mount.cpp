// Every directory has a lock file beside it: flock is shared for sharing=shared, exclusive for the
// others and while the directory is born or emptied. A lock is the kernel's, so a build that is
// killed leaves none behind.
//
//   cache-mounts/<digest of the identity>/about.json   the identity, for people and for collection
//                                        /0.lock, /0/  the directory
//                                        /1.lock, /1/  a second one, while 0 is in private use; ...
#include "cache_mount.hpp"

#include "key.hpp"
#include "lock_wait.hpp"

#include <shale/confined.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace shale::build {
namespace {

// More private copies at one time than this are a mistake.
constexpr unsigned kMostCopies = 1024;

void wait_for_flock(const UniqueFd& file, int mode, const std::function<void()>& waiting,
                    const std::stop_token& stop) {
    wait_for_lock([&] { return try_cache_lock(file, mode); }, waiting, stop);
}

void dress(int fd, const CacheBirth& birth, const std::string& path) {
    if (::fchown(fd, birth.uid, birth.gid) != 0) throw_errno("chown", path);
    if (::fchmod(fd, birth.mode) != 0) throw_errno("chmod", path);
}

// Under an exclusive lock. Born under another name, so that nobody ever takes half of one.
void give_birth(const std::string& path, const CacheBirth& birth) {
    const std::string unborn = path + ".new";
    remove_tree(unborn);
    make_directories(unborn);
    {
        const UniqueFd fd = open_file(unborn, O_RDONLY | O_DIRECTORY);
        dress(fd.get(), birth, unborn);
    }
    if (birth.fill) birth.fill(unborn);
    if (::rename(unborn.c_str(), path.c_str()) != 0) throw_errno("rename", unborn);
}

void describe(const std::string& directory, const CacheIdentity& identity) {
    const std::string path = join_path(directory, "about.json");
    if (path_exists(path)) return;
    nlohmann::ordered_json about = {{"id", identity.id}};
    if (!identity.name_space.empty()) about["namespace"] = identity.name_space;
    if (!identity.seed.empty()) about["seed"] = identity.seed;
    const auto text = about.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    write_file_atomic(path, as_bytes(text));
}

}  // namespace

CacheSharing parse_sharing(const std::string& word) {
    if (word == "private") return CacheSharing::Private;
    if (word == "locked") return CacheSharing::Locked;
    return CacheSharing::Shared;
}

Digest CacheIdentity::digest() const {
    return Key("cache-mount").add("namespace", name_space).add("id", id).add("seed", seed).finish();
}

UniqueFd CacheMount::open(const std::string& source, const CacheBirth& birth) const {
    const std::string relative = clean_absolute_path(source).substr(1);
    UniqueFd at = open_file(path_, O_PATH | O_DIRECTORY);
    if (relative.empty()) return at;
    const auto leaves = [&] {
        fail(ErrorKind::Invalid, "cache mount source \"" + source +
                                     "\" leads out of the cache through a symbolic link");
    };
    // Exists: by any links that stay inside. EXDEV is the kernel's word for one that does not.
    if (UniqueFd whole = open_resolved(at.get(), relative, O_PATH, RESOLVE_BENEATH)) return whole;
    if (errno == EXDEV || errno == ELOOP) leaves();
    if (errno != ENOENT) throw_errno("cache mount source", source);
    for (std::string_view rest = relative; !rest.empty();) {
        const auto slash = rest.find('/');
        const std::string name(rest.substr(0, slash));
        rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
        const bool made = ::mkdirat(at.get(), name.c_str(), 0755) == 0;
        if (!made && errno != EEXIST) throw_errno("mkdir", join_path(path_, relative));
        UniqueFd next = open_resolved(at.get(), name, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH);
        if (!next && (errno == EXDEV || errno == ELOOP)) leaves();
        if (!next) throw_errno("cache mount source", source);
        at = std::move(next);
        if (made) dress(at.get(), birth, source);
    }
    return at;
}

bool try_cache_lock(const UniqueFd& lock_file, int mode) {
    while (::flock(lock_file.get(), mode | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return false;
        if (errno != EINTR) throw_errno("flock", "cache mount");
    }
    return true;
}

std::string cache_copy_path(store::Store& store, const CacheIdentity& identity, unsigned number) {
    return join_path(join_path(store.cache_mounts_path(), identity.digest().hex()),
                     std::to_string(number));
}

CachePlace cache_place(store::Store& store, const CacheIdentity& identity, unsigned number) {
    const auto directory = join_path(store.cache_mounts_path(), identity.digest().hex());
    make_directories(directory, 0700);
    describe(directory, identity);
    const auto path = cache_copy_path(store, identity, number);
    return {path, open_file(path + ".lock", O_RDWR | O_CREAT, 0600)};
}

CacheMounts::CacheMounts(store::Store& store) : store_(store) {}

// Others that renew in this build wait for the first: what it fills is theirs, too.
void CacheMounts::renew(const CacheIdentity& identity, const std::function<void()>& waiting,
                        std::stop_token stop) {
    const std::lock_guard lock(mutex_);
    if (renewed_.contains(identity.digest())) return;
    remove_cache_mount(
        store_, identity, waiting ? waiting : [] {}, stop);
    renewed_.insert(identity.digest());
}

CacheMount CacheMounts::take(const CacheIdentity& identity, CacheSharing sharing,
                             const CacheBirth& birth, bool is_renewed,
                             const std::function<void()>& waiting, std::stop_token stop) {
    if (is_renewed) renew(identity, waiting, stop);
    for (unsigned copy = 0; copy < kMostCopies;) {
        CachePlace place = cache_place(store_, identity, copy);
        const std::string& path = place.path;
        const UniqueFd& lock = place.lock_file;
        if (sharing == CacheSharing::Private && !try_cache_lock(lock, LOCK_EX)) {
            ++copy;
            continue;
        }
        // Somebody else may give birth while this waits; then there is no need to be alone any
        // more, which might take as long as what the others do with it.
        bool alone = true;
        const auto attempt = [&] {
            alone = sharing != CacheSharing::Shared || !path_exists(path);
            return try_cache_lock(lock, alone ? LOCK_EX : LOCK_SH);
        };
        if (sharing != CacheSharing::Private) wait_for_lock(attempt, waiting, stop);
        if (alone && !path_exists(path)) give_birth(path, birth);
        // From alone to shared is not one step for the kernel; and while this waited, somebody may
        // have emptied what was there before. Then from the beginning.
        if (sharing == CacheSharing::Shared && alone) wait_for_flock(lock, LOCK_SH, waiting, stop);
        if (!path_exists(path)) continue;
        ::futimens(lock.get(), nullptr);  // for collection: used now
        return {std::move(place.path), std::move(place.lock_file)};
    }
    fail(ErrorKind::System, "too many copies of cache mount \"" + identity.id + "\" are in use");
}

}  // namespace shale::build
