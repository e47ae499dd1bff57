// RUN --mount=type=cache: directories that outlive builds, below <store>/cache-mounts. Layout and
// locks: docs/formats/store.md.
#pragma once

#include <shale/base.hpp>
#include <shale/cache_mounts.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

namespace shale::build {

enum class CacheSharing { Shared, Private, Locked };
CacheSharing parse_sharing(const std::string& word);  // "" is shared

// How a directory begins when nobody had it before.
struct CacheBirth {
    std::uint32_t mode = 0755, uid = 0, gid = 0;
    std::function<void(const std::string& directory)> fill;  // may be null
};

// One directory in use. While the object lives nobody clears it and, if it is not shared, nobody
// else is given it.
class CacheMount {
  public:
    CacheMount(CacheMount&&) noexcept = default;
    const std::string& path() const { return path_; }
    // The directory or file `source` in it: a descriptor, so that what it names cannot be swapped
    // any more. Missing directories are made, as the cache itself began. Invalid if a symbolic link
    // leads out of the cache.
    UniqueFd open(const std::string& source, const CacheBirth& birth) const;

  private:
    friend class CacheMounts;
    CacheMount(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    UniqueFd lock_;
};

// Where copy `number` of a cache mount lies, and its lock file, which exists from then on. Makes
// the cache mount's directory, and writes into it what it is, if need be.
struct CachePlace {
    std::string path;
    UniqueFd lock_file;
};
CachePlace cache_place(store::Store& store, const CacheIdentity& identity, unsigned number);
std::string cache_copy_path(store::Store& store, const CacheIdentity& identity, unsigned number);

// False if somebody has it. `mode` is LOCK_SH or LOCK_EX.
bool try_cache_lock(const UniqueFd& lock_file, int mode);

// The cache mounts of one build. Safe from any thread.
class CacheMounts {
  public:
    explicit CacheMounts(store::Store& store);

    // Waits where somebody else has it: after telling so through `waiting`, until `stop`
    // (Cancelled). `is_renewed` empties it first, once per build. Who takes several takes them in
    // the order of their digests, or two builds may wait for each other.
    CacheMount take(const CacheIdentity& identity, CacheSharing sharing, const CacheBirth& birth,
                    bool is_renewed, const std::function<void()>& waiting, std::stop_token stop);

  private:
    void renew(const CacheIdentity& identity, const std::function<void()>& waiting,
               std::stop_token stop);

    store::Store& store_;
    std::mutex mutex_;
    std::set<Digest> renewed_;
};

}  // namespace shale::build
