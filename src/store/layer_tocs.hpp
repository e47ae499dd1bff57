// Tables of contents of the layers in the store, and the framed twins of layers that have none.
#pragma once

#include "blob_files.hpp"
#include "database.hpp"
#include "derived_files.hpp"
#include "durable.hpp"
#include "lru_cache.hpp"

#include <shale/base.hpp>
#include <shale/layer.hpp>
#include <shale/oci.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace shale::store {

// Behind a layer's digest in the name of a table of places that describes the layer's twin.
inline constexpr std::string_view kTwinSuffix = ".twin";

// What LayerTocs stands on; all of it outlives it.
struct LayerHome {
    std::string blobs_directory;
    DerivedFiles frames, places;
    // Of the table of places of a layer, or of its twin, whose frames lie elsewhere.
    static std::string places_name(const Digest& blob, bool of_twin);
    BlobFiles& blobs;   // blobs as they came
    BlobFiles& framed;  // the twin where there is one
    Session& session;
    Database& database;
};

// Safe from any thread; one thread works on a layer while the others that want it wait.
class LayerTocs {
  public:
    explicit LayerTocs(const LayerHome& home);
    // With `diff_id`, the layer's tar is known to hash to it when this returns, and the TOC to
    // describe that tar; Corrupt otherwise.
    std::shared_ptr<const layer::Toc> get(const oci::Descriptor& layer,
                                          const std::optional<Digest>& diff_id);
    bool has_twin(const Digest& blob) const;
    // As get() with a DiffID, but does not read the TOC of a layer that was verified before.
    void verify(const oci::Descriptor& layer, const Digest& diff_id);

  private:
    using SharedToc = std::shared_ptr<const layer::Toc>;
    struct Loaded {
        SharedToc toc;
        std::optional<Digest> diff_id;  // of the tar that `toc` was checked against
    };
    Loaded load(const oci::Descriptor& layer, const std::optional<Digest>& diff_id);
    std::optional<Digest> agrees_with_tar(const Digest& blob, const layer::Toc& toc,
                                          const std::optional<Digest>& diff_id);
    std::optional<layer::Toc> read_own(const oci::Descriptor& layer);
    std::optional<layer::Toc> read_twin(const Digest& blob);
    layer::Written make_twin(const Digest& blob, const std::optional<Digest>& diff_id);
    void remember(const Digest& blob, const Digest& diff_id);
    void check_descriptor(const oci::Descriptor& layer);
    std::string twin_path(const Digest& blob) const;

    LayerHome home_;
    std::mutex mutex_;  // never held while loading
    std::condition_variable loaded_;
    std::set<Digest> loading_;
    LruCache<Digest, Loaded, DigestHash> cache_;
};

}  // namespace shale::store
