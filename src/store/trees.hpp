// The snapshots kept under trees/, by digest.
#pragma once

#include "derived_files.hpp"
#include "durable.hpp"
#include "lru_cache.hpp"

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <memory>
#include <mutex>
#include <string>

namespace shale::store {

// Safe from any thread.
class Trees {
  public:
    Trees(DerivedFiles files, Session& session);
    bool has(const Digest& digest) const;
    Digest put(const snapshot::Tree& tree);
    // As put(), and keeps the tree at hand.
    Digest put_shared(const std::shared_ptr<const snapshot::Tree>& tree);
    // Null if absent. A damaged file is Corrupt, and removed so that the tree is made again.
    std::shared_ptr<const snapshot::Tree> find(const Digest& digest);

  private:
    std::string path(const Digest& digest) const;  // to read
    void write(const snapshot::Tree& tree, const std::string& path);
    bool is_whole(const Digest& digest) const;
    std::shared_ptr<const snapshot::Tree> load(const Digest& digest);

    const DerivedFiles files_;
    Session& session_;
    std::mutex mutex_;
    LruCache<Digest, std::shared_ptr<const snapshot::Tree>, DigestHash> cache_;
};

}  // namespace shale::store
