// build's door to the cache mounts of a store, apart from any build: which there are, and holding
// one of them still to copy it, to put another directory in its place, or to empty it.
//
// What several copies of one cache mount hold (sharing=private, more than one build at a time) is
// of no use to anybody but their next users: what is carried away and replaced is the first.
#pragma once

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::build {

// What a cache mount is, across builds: equal descriptions name one directory.
struct CacheIdentity {
    std::string name_space, id;
    std::string seed;  // what it began as, as text; empty: an empty directory
    Digest digest() const;
    bool operator==(const CacheIdentity&) const = default;
};

struct KnownCacheMount {
    CacheIdentity identity;
    Digest digest;  // names its directory in the store
    std::int64_t used_ns = 0;
    unsigned copies = 0;
    bool in_use = false;  // by a build, at this moment
};

// Last used first. What says nothing readable about itself is left out.
std::vector<KnownCacheMount> known_cache_mounts(store::Store& store);

// Nobody else uses the cache mount while the object lives. Not for several threads.
class CacheMountHold {
  public:
    // Waits for whoever has it, after telling so through `waiting`, until `stop` (Cancelled). With
    // `waiting` null it does not wait: Failed, naming it, if somebody has it.
    CacheMountHold(store::Store& store, CacheIdentity identity,
                   const std::function<void()>& waiting, const std::stop_token& stop);
    CacheMountHold(const CacheMountHold&) = delete;

    bool exists() const;
    const std::string& path() const { return path_; }
    // The whole directory takes the place of what is there, in one step. `directory` lies on the
    // store's file system (Store::scratch) and then holds what was there, if anything.
    void replace(const std::string& directory);

  private:
    CacheIdentity identity_;
    std::string path_;
    UniqueFd lock_;
};

// Empties all copies. Waits as CacheMountHold does, for each.
void remove_cache_mount(store::Store& store, const CacheIdentity& identity,
                        const std::function<void()>& waiting, const std::stop_token& stop);

}  // namespace shale::build
