// Caches of other machines, asked when the store does not know a step.
//
// Only documents are fetched in advance; a layer comes when somebody reads it. So it turns out late
// that a layer is gone or not what was said, when other steps already count on it. Then the cache
// is given up, and the build begins again without it: what was made meanwhile is in the store.
//
// A record without a layer says only what comes of a step. It is as good as one with a layer until
// somebody looks at the result; then that record is forgotten and the build begins again.
#pragma once

#include "once_table.hpp"
#include "root.hpp"

#include <shale/build.hpp>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace shale::build {

// Safe from any thread, apart from settle().
class CacheImports {
  public:
    // Fetches the documents of request.cache_from. A cache that cannot be had, or that says nothing
    // that can be believed, is a warning.
    CacheImports(const Request& request, Services& services, Tracker& tracker);

    // By either key of a step. The earlier cache wins, but one that has the layer wins over one
    // that has not.
    std::optional<ImportedStep> find(const Digest& key) const;

    // Brings the layer into the store, verified, as a layer that contents can be read from.
    StoredLayer fetch(const ImportedStep& step);
    // What the layer will be called in the store; nullopt if only fetching it will tell.
    static std::optional<oci::Descriptor> known_layer(const ImportedStep& step);

    // The cache said something that is not so.
    void give_up(std::size_t cache, const std::string& reason);
    // The result of this step is needed, and nobody has its layer.
    void forget(const Digest& key);
    // Called between two attempts: takes out what was given up and warns of it. False if there was
    // nothing, so that another attempt would end in the same way.
    bool settle();

  private:
    struct Cache {
        CacheSource source;
        std::unordered_map<Digest, ImportedStep, DigestHash> steps;
    };
    void load(const CacheSource& source);
    void add(Cache& cache, const ResolvedImage& image);
    void fetch_blob(const CacheSource& source, const oci::Descriptor& blob, VertexId vertex);

    Services& services_;
    Tracker& tracker_;
    mutable std::mutex mutex_;
    std::vector<Cache> caches_;  // their number is fixed
    std::map<std::size_t, std::string> given_up_;
    bool forgot_ = false;
    OnceTable<StoredLayer> fetched_;
};

}  // namespace shale::build
