// Cache mounts without a build around them. All rules about who may touch a directory when are
// those of cache_mount.cpp; here they are followed by one user at a time who wants all of it.
#include "cache_mount.hpp"
#include "lock_wait.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>

namespace shale::build {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostAboutBytes = 64 << 10;

// nullopt if it is not there, or says what its directory's name denies.
std::optional<CacheIdentity> identity_in(const std::string& directory, const Digest& name) {
    std::string text;
    try {
        text = read_file(join_path(directory, "about.json"), kMostAboutBytes);
    } catch (const Error&) {  // gone meanwhile, or never written
        return std::nullopt;
    }
    const auto about = nlohmann::json::parse(text, nullptr, false);
    if (!about.is_object()) return std::nullopt;
    const auto word = [&](const char* key) {
        const auto found = about.find(key);
        return found != about.end() && found->is_string() ? found->get<std::string>()
                                                          : std::string();
    };
    CacheIdentity identity{word("namespace"), word("id"), word("seed")};
    if (identity.digest() != name) return std::nullopt;
    return identity;
}

bool is_in_use(const std::string& lock_path) {
    try {
        return !try_cache_lock(open_file(lock_path, O_RDWR), LOCK_EX);
    } catch (const Error&) {  // no lock, no user
        return false;
    }
}

std::int64_t modified_ns(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return 0;
    return to_ns(status.st_mtim);
}

// Copies are numbered from 0 without a gap.
std::optional<KnownCacheMount> known_in(const std::string& directory, const Digest& name) {
    const auto identity = identity_in(directory, name);
    if (!identity) return std::nullopt;
    KnownCacheMount known{*identity, name};
    for (;; ++known.copies) {
        const auto path = join_path(directory, std::to_string(known.copies));
        if (!path_exists(path)) break;
        known.used_ns = std::max(known.used_ns, modified_ns(path + ".lock"));
        known.in_use |= is_in_use(path + ".lock");
    }
    if (known.copies == 0) return std::nullopt;  // emptied
    return known;
}

std::string display_name(const CacheIdentity& identity) {
    return identity.name_space.empty() ? identity.id : identity.name_space + ": " + identity.id;
}

void wait_alone(const UniqueFd& lock_file, const CacheIdentity& identity,
                const std::function<void()>& waiting, const std::stop_token& stop) {
    const auto attempt = [&] { return try_cache_lock(lock_file, LOCK_EX); };
    if (waiting) return wait_for_lock(attempt, waiting, stop);
    if (!attempt())
        fail(ErrorKind::Failed, "cache mount " + display_name(identity) + " is in use by a build");
}

}  // namespace

std::vector<KnownCacheMount> known_cache_mounts(store::Store& store) {
    std::vector<KnownCacheMount> all;
    std::error_code none;  // a store that never had one has no directory for them
    for (fs::directory_iterator at(store.cache_mounts_path(), none), end; !none && at != end;
         at.increment(none)) {
        const auto digest = Digest::from_hex(at->path().filename().string());
        if (!digest) continue;
        if (auto known = known_in(at->path().string(), *digest)) all.push_back(std::move(*known));
    }
    std::ranges::sort(all, std::greater(), &KnownCacheMount::used_ns);
    return all;
}

CacheMountHold::CacheMountHold(store::Store& store, CacheIdentity identity,
                               const std::function<void()>& waiting, const std::stop_token& stop)
    : identity_(std::move(identity)) {
    auto place = cache_place(store, identity_, 0);
    path_ = std::move(place.path);
    lock_ = std::move(place.lock_file);
    wait_alone(lock_, identity_, waiting, stop);
}

bool CacheMountHold::exists() const {
    return path_exists(path_);
}

void CacheMountHold::replace(const std::string& directory) {
    const unsigned flags = exists() ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, directory.c_str(), AT_FDCWD, path_.c_str(), flags) != 0)
        throw_errno("putting in place", path_);
    ::futimens(lock_.get(), nullptr);  // for collection: used now
}

void remove_cache_mount(store::Store& store, const CacheIdentity& identity,
                        const std::function<void()>& waiting, const std::stop_token& stop) {
    std::vector<TempDir> rubbish;  // removed when nobody waits for a lock any more
    unsigned copies = 0;
    while (path_exists(cache_copy_path(store, identity, copies)))
        ++copies;
    // The first comes last: whoever looks for copies begins there, should this be interrupted.
    for (unsigned copy = copies; copy-- > 0;) {
        const auto place = cache_place(store, identity, copy);
        wait_alone(place.lock_file, identity, waiting, stop);
        rubbish.push_back(store.scratch("cache-"));
        const auto away = join_path(rubbish.back().path(), "old");
        if (::rename(place.path.c_str(), away.c_str()) != 0 && errno != ENOENT)
            throw_errno("rename", place.path);
    }
}

}  // namespace shale::build
