// The cache mounts of one RUN: found, locked, and seeded where they are new.
#pragma once

#include "run.hpp"
#include "session.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace shale::build {

class RunCaches {
  public:
    // `session` and `spec` must outlive it. `waiting` is told of a cache that somebody else has.
    RunCaches(Session& session, const RunSpec& spec,
              const std::function<void(const RunMount&)>& waiting);
    // What the cache mount with this index shows.
    UniqueFd open(std::size_t index) const;
    // The mount point for a mount below it. It stays in the cache, as with other builders: the
    // cache cannot tell it from its own.
    void make_point(std::size_t index, const std::string& path, bool directory) const;

  private:
    std::shared_ptr<CacheMount> take(std::size_t index, CacheSharing sharing,
                                     const std::function<void(const RunMount&)>& waiting);
    CacheSharing strictest(const std::vector<std::size_t>& users) const;

    Session& session_;
    const RunSpec& spec_;
    std::vector<std::shared_ptr<CacheMount>> caches_;  // by index; null for other mounts
};

}  // namespace shale::build
