// A cache is an ordinary image: its layers are those of the steps, its config has a member that
// says which step each belongs to. So every registry keeps, copies and collects it as it does the
// others (docs/formats/cache.md).
//
// Steps whose layers are not carried are listed all the same, with what came of them: as long as
// nobody looks at their results, that is all it takes to know the steps after them.
#include "cache_export.hpp"

#include "cache_layout.hpp"
#include "cache_records.hpp"
#include "step.hpp"

#include <shale/codec.hpp>

#include <algorithm>
#include <map>

namespace shale::build {
namespace {

CachedStep describe(const LayerSlot& slot) {
    CachedStep step;
    step.key = slot.record_key;
    step.content_key = slot.record.content_key;
    step.tree = slot.record.tree;
    step.created_ns = slot.record.created_ns;
    step.cost_ms = slot.record.cost_ms;
    step.name = slot.record.name;
    return step;
}

bool is_in_result(const Built& build, const std::shared_ptr<LayerSlot>& slot) {
    const auto& layers = build.state.layers;
    return std::find(layers.begin(), layers.end(), slot) != layers.end();
}

// An image in the making that carries a cache.
class CacheImage {
  public:
    CacheImage(Services& services, const CacheTarget& target)
        : services_(services), target_(target) {
        if (target.kind == CacheTarget::Kind::Local)
            layout_ = std::make_unique<CacheLayout>(target.directory);
    }

    void add(const Built& build) {
        for (const auto& slot : build.session.steps.all()) {
            auto step = describe(*slot);
            const bool is_carried = target_.all_steps || is_in_result(build, slot);
            const bool is_known_only = slot->imported && !slot->imported->layer;
            if (is_carried && !is_known_only) step.layer = place_of(layer_of(build.session, *slot));
            const auto [known, is_new] = steps_.try_emplace(step.key, step);
            if (!is_new && !known->second.layer) known->second.layer = step.layer;
        }
    }

    void publish(Tracker& tracker, VertexId vertex, const std::stop_token& stop) {
        std::vector<CachedStep> steps;
        for (const auto& [key, step] : steps_)
            steps.push_back(step);
        config_.platform = oci::Platform::host();
        config_.unknown_top[std::string(kCacheMember)] = encode_cache(std::move(steps));
        const auto config = oci::encode(config_);
        if (config.size() > oci::kMaxConfigBytes)
            fail(ErrorKind::Failed, "the cache's config would have " + format_size(config.size()));
        auto& store = services_.store;
        manifest_.config.media_type = oci::media::kConfig;
        manifest_.config.digest = store.put_blob(as_bytes(config));
        manifest_.config.size = config.size();
        manifest_.annotations["org.opencontainers.image.description"] = "shale build cache";
        const auto manifest = oci::encode(manifest_);
        oci::Descriptor descriptor;
        descriptor.media_type = manifest_.media_type;
        descriptor.digest = store.put_blob(as_bytes(manifest));
        descriptor.size = manifest.size();
        tracker.progress().status(vertex, "writing cache manifest " + descriptor.digest.str(), 0,
                                  0);
        if (layout_)
            layout_->publish(descriptor, manifest_, target_.name.tag, target_.reset, store, stop);
        else
            services_.images.push(target_.name, descriptor, tracker);
    }

  private:
    bool has(const oci::Descriptor& blob) {
        return layout_ ? layout_->has(blob) : services_.images.is_pushed(target_.name, blob.digest);
    }

    // A layer that came from a cache need not be here if it only goes where it is already.
    FormedLayer layer_of(Session& session, LayerSlot& slot) {
        // Of a layer no more is known than its media type; those that are made here are framed
        // zstd.
        const auto wanted = [&](const oci::Descriptor& blob) {
            const auto current = oci::layer_compression(blob.media_type);
            return !target_.compression ||
                   (current && layer::plain_form(*current) == *target_.compression &&
                    !target_.compression_level);
        };
        if (slot.imported && slot.blob && wanted(*slot.blob) && has(*slot.blob))
            return {*slot.blob, slot.diff_id};
        ensure_layer(session, slot);
        FormedLayer layer{*slot.blob, slot.diff_id};
        if (wanted(layer.blob)) return layer;
        LayerForm form;
        form.form = *target_.compression;
        form.level = target_.compression_level;
        return form_layer(services_, layer, form, session.stop);
    }

    std::size_t place_of(const FormedLayer& layer) {
        const auto [place, is_new] = places_.try_emplace(layer.diff_id, manifest_.layers.size());
        if (!is_new) return place->second;
        manifest_.layers.push_back(layer.blob);
        vouch_for_toc(services_.store, manifest_.layers.back());
        config_.diff_ids.push_back(layer.diff_id);
        return place->second;
    }

    Services& services_;
    const CacheTarget& target_;
    std::unique_ptr<CacheLayout> layout_;
    std::map<Digest, CachedStep> steps_;
    std::map<Digest, std::size_t> places_;  // by DiffID
    oci::ImageConfig config_;
    oci::Manifest manifest_;
};

void export_cache(const std::vector<Built>& builds, const CacheTarget& target) {
    auto& session = builds.front().session;
    session.tracker.run("exporting cache to " + target.str(), [&](VertexId vertex) {
        CacheImage image(session.services, target);
        for (const auto& build : builds)
            image.add(build);
        image.publish(session.tracker, vertex, session.stop);
        return Outcome::Done;
    });
}

bool wants_inline(const Request& request) {
    const auto is_inline = [](const CacheTarget& target) {
        return target.kind == CacheTarget::Kind::Inline;
    };
    if (std::any_of(request.cache_to.begin(), request.cache_to.end(), is_inline)) return true;
    std::string wish;
    for (const auto& pair : request.build_args)
        if (pair.key == "BUILDKIT_INLINE_CACHE") wish = pair.value;
    return wish == "1" || wish == "true";
}

}  // namespace

std::optional<std::string> inline_cache(const Built& build,
                                        const std::vector<FormedLayer>& layers) {
    if (!wants_inline(build.session.request)) return std::nullopt;
    std::vector<CachedStep> steps;
    for (const auto& slot : build.session.steps.all()) {
        auto step = describe(*slot);
        const auto& own = build.state.layers;
        const auto at =
            static_cast<std::size_t>(std::find(own.begin(), own.end(), slot) - own.begin());
        // With its times rewritten, a layer is not that step's any more.
        if (at < own.size() && layers[at].diff_id == slot->diff_id) step.layer = at;
        steps.push_back(std::move(step));
    }
    return encode_cache(std::move(steps));
}

void export_caches(const std::vector<Built>& builds) {
    auto& session = builds.front().session;
    for (const auto& target : session.request.cache_to) {
        if (target.kind == CacheTarget::Kind::Inline) continue;
        session.check_stop();
        try {
            export_cache(builds, target);
        } catch (const Error& error) {
            if (!target.ignore_error || error.kind() == ErrorKind::Cancelled) throw;
            session.tracker.progress().warning("the cache was not exported to " + target.str() +
                                               ": " + error.what());
        }
    }
}

}  // namespace shale::build
