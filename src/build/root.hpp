// The root file system of a stage at one point, and the layers it is made of. Both are lazy: a root
// that only serves as a cache key is never loaded, a layer that no exporter asks for is never made.
#pragma once

#include <shale/oci.hpp>
#include <shale/snapshot.hpp>
#include <shale/store.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace shale::build {

struct LoadedRoot {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;  // layer blobs that hold its contents
};

// Immutable once loaded; safe from any thread.
class Root {
  public:
    // `key` names the root by what made it and by what came out. `is_at_hand` tells whether `load`
    // takes what is there, instead of pulling or merging layers; by default it does.
    Root(
        const Digest& key, std::function<LoadedRoot()> load,
        std::function<bool()> is_at_hand = [] { return true; })
        : key_(key), load_(std::move(load)), is_at_hand_(std::move(is_at_hand)) {}
    Root(const Digest& key, LoadedRoot loaded) : key_(key), loaded_(std::move(loaded)) {}

    const Digest& key() const { return key_; }
    // Blocks; may pull layers. A failed load is tried again by the next caller.
    const LoadedRoot& load() {
        const std::lock_guard lock(mutex_);
        if (!loaded_.tree) loaded_ = load_();
        return loaded_;
    }

    bool is_at_hand() {
        const std::lock_guard lock(mutex_);
        return loaded_.tree || is_at_hand_();
    }

  private:
    Digest key_;
    std::function<LoadedRoot()> load_;
    std::function<bool()> is_at_hand_;
    std::mutex mutex_;
    LoadedRoot loaded_;
};

// A layer of the store, and the name of its tar.
struct StoredLayer {
    oci::Descriptor descriptor;
    Digest diff_id;
    // If it was made now.
    std::uint64_t tar_bytes = 0, compressed_bytes = 0;
};

// A step that an imported cache knows. Its record has neither layer nor sources: what it names is
// not in the store yet.
struct ImportedStep {
    std::size_t cache = 0;  // which one
    store::StepRecord record;
    // As the cache carries it; nullopt if it only knows what came of the step.
    std::optional<StoredLayer> layer;
};

// One layer of the image under construction.
struct LayerSlot {
    // Set for a base image's layer, and for a step's once it has been made.
    std::optional<oci::Descriptor> blob;
    Digest diff_id;
    std::int64_t created_ns = 0;
    // A step's: what the layer is the difference of, and where to remember it.
    std::shared_ptr<Root> before, after;
    Digest record_key;
    store::StepRecord record;
    // Until the layer has been fetched. `blob` is what will come, if that is known.
    std::optional<ImportedStep> imported;
    std::mutex making;
};

// The layers of the steps that one evaluation went through, each once, in no order.
class StepLog {
  public:
    void add(const std::shared_ptr<LayerSlot>& layer) {
        const std::lock_guard lock(mutex_);
        layers_.try_emplace(layer->record_key, layer);
    }
    std::vector<std::shared_ptr<LayerSlot>> all() const {
        const std::lock_guard lock(mutex_);
        std::vector<std::shared_ptr<LayerSlot>> out;
        for (const auto& [key, layer] : layers_)
            out.push_back(layer);
        return out;
    }

  private:
    mutable std::mutex mutex_;
    std::map<Digest, std::shared_ptr<LayerSlot>> layers_;  // by definition key
};

}  // namespace shale::build
