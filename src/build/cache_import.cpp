#include "cache_import.hpp"

#include "cache_records.hpp"
#include "layer_forms.hpp"
#include "oci_layout.hpp"

namespace shale::build {
namespace {

// Of what a cache's manifest says about a layer, what vouches for its table of contents: an image
// with the layer says the same, whether it was fetched or not.
void keep_toc_annotations(oci::Annotations& annotations) {
    std::erase_if(annotations, [](const auto& annotation) {
        return !layer::is_toc_annotation(annotation.first);
    });
}

}  // namespace

CacheImports::CacheImports(const Request& request, Services& services, Tracker& tracker)
    : services_(services), tracker_(tracker) {
    if (request.no_cache) return;
    for (const auto& source : request.cache_from)
        load(source);
}

void CacheImports::load(const CacheSource& source) {
    Cache cache;
    cache.source = source;
    try {
        tracker_.run("importing cache manifest from " + source.str(), [&](VertexId) {
            const auto images =
                source.directory.empty()
                    ? services_.images.resolve_all(source.name)
                    : OciLayout(source.directory).resolve_all(source.name, services_.store);
            for (const auto& image : images)
                add(cache, image);
            return Outcome::Done;
        });
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::Cancelled) throw;
        cache.steps.clear();
        tracker_.progress().warning("the cache " + source.str() + " is not used: " + error.what());
    }
    if (cache.steps.empty()) log(LogLevel::Debug, "the cache " + source.str() + " knows no step");
    caches_.push_back(std::move(cache));
}

void CacheImports::add(Cache& cache, const ResolvedImage& image) {
    const auto member = image.config.unknown_top.find(std::string(kCacheMember));
    if (member == image.config.unknown_top.end()) return;
    // A stranger's descriptors may say anything at length, and steps are many.
    std::vector<StoredLayer> layers;
    for (std::size_t i = 0; i < image.manifest.layers.size(); ++i) {
        const auto& stated = image.manifest.layers[i];
        layers.push_back({{}, image.config.diff_ids[i]});
        auto& descriptor = layers.back().descriptor;
        descriptor.media_type = stated.media_type;
        descriptor.digest = stated.digest;
        descriptor.size = stated.size;
        descriptor.annotations = stated.annotations;
        keep_toc_annotations(descriptor.annotations);
    }
    for (auto& known : decode_cache(member->second, image.manifest.layers.size())) {
        ImportedStep step;
        step.cache = caches_.size();
        step.record.tree = known.tree;
        step.record.created_ns = known.created_ns;
        step.record.cost_ms = known.cost_ms;
        step.record.name = std::move(known.name);
        step.record.content_key = known.content_key;
        if (known.layer) step.layer = layers[*known.layer];
        for (const auto& key : {std::optional(known.key), known.content_key}) {
            if (!key) continue;
            auto& place = cache.steps[*key];
            if (!place.layer) place = step;  // new, or another platform had no layer
        }
    }
}

std::optional<ImportedStep> CacheImports::find(const Digest& key) const {
    const std::lock_guard lock(mutex_);
    std::optional<ImportedStep> without_layer;
    for (const auto& cache : caches_) {
        const auto found = cache.steps.find(key);
        if (found == cache.steps.end()) continue;
        if (found->second.layer) return found->second;
        if (!without_layer) without_layer = found->second;
    }
    return without_layer;
}

std::optional<oci::Descriptor> CacheImports::known_layer(const ImportedStep& step) {
    if (!step.layer) return std::nullopt;
    const auto compression = oci::layer_compression(step.layer->descriptor.media_type);
    if (compression != oci::Compression::Zstd) return std::nullopt;
    return step.layer->descriptor;
}

void CacheImports::fetch_blob(const CacheSource& source, const oci::Descriptor& blob,
                              VertexId vertex) {
    if (source.directory.empty())
        services_.images.pull_blob(source.name, blob, tracker_, vertex);
    else
        OciLayout(source.directory).copy_blob(blob, services_.store);
}

StoredLayer CacheImports::fetch(const ImportedStep& step) {
    SHALE_ENSURE(step.layer);
    const auto& carried = step.layer->descriptor;
    const auto& source = caches_[step.cache].source;
    const auto bring = [&] {
        FormedLayer layer{carried, step.layer->diff_id};
        auto& store = services_.store;
        const bool is_here = store.has_whole(carried);
        tracker_.run("importing layer " + carried.digest.str() + " from " + source.str(),
                     [&](VertexId vertex) {
                         fetch_blob(source, carried, vertex);
                         if (!store.has_whole(carried))
                             fail(ErrorKind::Corrupt, "layer " + carried.digest.str() +
                                                          " has not the size that is stated");
                         store.toc(layer.blob, layer.diff_id);  // it has that DiffID, or this fails
                         // A step's layer is a zstd one, whatever way it came.
                         if (!known_layer(step))
                             layer = form_layer(services_, layer, LayerForm{}, {});
                         return is_here ? Outcome::Cached : Outcome::Done;
                     });
        return StoredLayer{layer.blob, layer.diff_id};
    };
    return fetched_.get(std::to_string(step.cache) + " " + carried.digest.hex(), bring).first;
}

void CacheImports::give_up(std::size_t cache, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    given_up_.try_emplace(cache, reason);
    caches_[cache].steps.clear();  // nobody is to wait for it again
}

void CacheImports::forget(const Digest& key) {
    const std::lock_guard lock(mutex_);
    for (auto& cache : caches_)
        if (const auto found = cache.steps.find(key);
            found != cache.steps.end() && !found->second.layer)
            cache.steps.erase(found);
    forgot_ = true;
}

bool CacheImports::settle() {
    const std::lock_guard lock(mutex_);
    const bool any = forgot_ || !given_up_.empty();
    for (const auto& [index, reason] : given_up_)
        tracker_.progress().warning("the cache " + caches_[index].source.str() +
                                    " is not used any more: " + reason);
    given_up_.clear();
    forgot_ = false;
    return any;
}

}  // namespace shale::build
