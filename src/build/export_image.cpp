// Manifests and indexes, and what becomes of them in the store and in registries.
//
// Making them is apart from placing them: the same result goes into an archive as well. A layer is
// asked for in the form that the output wants before anything refers to it.
#include "annotations.hpp"
#include "cache_export.hpp"
#include "cache_records.hpp"
#include "export.hpp"
#include "key.hpp"
#include "step.hpp"

#include <algorithm>
#include <set>

namespace shale::build {
namespace {

constexpr const char* kRewrittenTimestamp = "buildkit/rewritten-timestamp";

// Bytes a reader would find unpacked: every inode once.
std::uint64_t unpacked_bytes(const snapshot::Tree& tree) {
    std::uint64_t total = 0;
    std::set<std::uint64_t> groups;
    for (snapshot::NodeId node = 0; node < tree.size(); ++node) {
        const auto entry = tree.entry(node);
        if (entry.type != FileType::Regular) continue;
        if (entry.link_group != 0 && !groups.insert(entry.link_group).second) continue;
        total += entry.size;
    }
    return total;
}

// What a descriptor says that makes a layer readable in pieces: it holds for the blob, wherever it
// came from.
oci::Annotations kept_annotations(const oci::Annotations& annotations) {
    oci::Annotations kept;
    for (const auto& [name, value] : annotations)
        for (const std::string_view prefix :
             {"io.github.containers.zstd-chunked.", "io.containers.zstd-chunked.",
              "io.containers.estargz.", "containerd.io/snapshot/stargz/", "dev.shale.toc."})
            if (name.starts_with(prefix)) kept.emplace(name, value);
    return kept;
}

// The form that the layer is to have, if that is another than it has. Base layers are immutable but
// for a forced compression, and for zstd where Docker's media types, which have no name for it, are
// asked for.
std::optional<layer::Form> other_form(const LayerSlot& slot, const Output& output) {
    const auto current = oci::layer_compression(slot.blob->media_type);
    const bool is_base = slot.before == nullptr;
    const bool must_change = output.docker_types && current == oci::Compression::Zstd;
    if (is_base && !output.force_compression && !must_change) return std::nullopt;
    auto form =
        output.compression.value_or(layer::plain_form(current.value_or(oci::Compression::Zstd)));
    if (must_change && layer::compression_of(form) == oci::Compression::Zstd)
        form = layer::Form::Gzip;
    // Layers that are made here are framed zstd; of others no more is known than the media type.
    const bool same = current && form == layer::plain_form(*current);
    const bool other_level = output.compression && output.compression_level;
    return same && !other_level ? std::nullopt : std::optional(form);
}

// A layer that came from a cache need not be fetched to be pushed to where it is already.
bool is_pushed_as_it_is(Session& session, const LayerSlot& slot, const Output& output) {
    if (!slot.imported || !slot.blob || !is_only_pushed(output) || output.rewrite_timestamp)
        return false;
    if (other_form(slot, output)) return false;
    const auto names = names_of(session, output);
    return std::all_of(names.begin(), names.end(), [&](const oci::Reference& name) {
        return session.services.images.is_pushed(name, slot.blob->digest);
    });
}

// The tree below the layers that this build added, of which there is one.
const snapshot::Tree& base_of(const StageState& state) {
    const auto is_new = [](const auto& slot) { return slot->before != nullptr; };
    const auto first = std::ranges::find_if(state.layers, is_new);
    SHALE_ENSURE(first != state.layers.end());
    // The layer of a COPY --link stands on nothing, whatever the base is; the next one knows.
    if (first != state.layers.begin())
        for (auto at = first; at != state.layers.end(); ++at)
            if (const auto& before = *(*at)->before->load().tree; before.size() > 1) return before;
    return *(*first)->before->load().tree;
}

// The layer as the output wants it.
FormedLayer layer_for(Session& session, const StageState& state, LayerSlot& slot,
                      const Output& output) {
    if (!is_pushed_as_it_is(session, slot, output)) ensure_layer(session, slot);
    FormedLayer layer{*slot.blob, slot.diff_id};
    layer.blob.annotations = kept_annotations(layer.blob.annotations);
    const auto epoch = epoch_of(session, output);
    std::optional<std::int64_t> latest_mtime_ns;
    // Whatever its times are: whether there is a later one may be chance, too.
    if (output.rewrite_timestamp && epoch && slot.before != nullptr)
        latest_mtime_ns = *epoch * kNsPerSecond;
    const auto form = other_form(slot, output);
    if (form || latest_mtime_ns) {
        const auto current = oci::layer_compression(layer.blob.media_type);
        LayerForm wanted{form.value_or(layer::plain_form(current.value_or(oci::Compression::Zstd))),
                         output.compression_level, latest_mtime_ns};
        if (output.compression_memory) wanted.memory_bytes = *output.compression_memory;
        if (latest_mtime_ns)
            wanted.left_out = members_of_time_alone(session.services.store, layer, base_of(state),
                                                    *slot.before->load().tree,
                                                    *slot.after->load().tree, *latest_mtime_ns);
        layer = form_layer(session.services, layer, wanted, session.stop);
    }
    if (latest_mtime_ns) layer.blob.annotations[kRewrittenTimestamp] = std::to_string(*epoch);
    return layer;
}

std::string_view docker_layer_type(oci::Compression compression) {
    return compression == oci::Compression::None ? oci::media::kDockerLayerTar
                                                 : oci::media::kDockerLayerGzip;
}

// How a manifest names the layer.
oci::Descriptor named_layer(store::Store& store, const FormedLayer& layer, const Output& output,
                            bool as_plain_tar) {
    auto descriptor = layer.blob;
    auto compression = oci::layer_compression(descriptor.media_type);
    if (as_plain_tar) {
        compression = oci::Compression::None;
        descriptor.digest = layer.diff_id;
        descriptor.size = layer_tar_bytes(store, layer);
    }
    if (compression)  // Docker's media types have no place in an OCI manifest, nor the reverse
        descriptor.media_type = output.docker_types ? docker_layer_type(*compression)
                                                    : oci::layer_media_type(*compression);
    if (!as_plain_tar) vouch_for_toc(store, descriptor);
    return descriptor;
}

FinalImage make_image(const Built& build, const Output& output, bool as_plain_tars) {
    auto& session = build.session;
    FinalImage image;
    auto config = final_config(session, build.state, epoch_of(session, output));
    config.diff_ids.clear();
    for (const auto& slot : build.state.layers) {
        image.layers.push_back(layer_for(session, build.state, *slot, output));
        config.diff_ids.push_back(image.layers.back().diff_id);
        image.manifest.layers.push_back(
            named_layer(session.services.store, image.layers.back(), output, as_plain_tars));
    }
    if (const auto cache = inline_cache(build, image.layers))
        config.unknown_top[std::string(kCacheMember)] = *cache;
    image.created_ns = config.created_ns;
    image.config_json = oci::encode(config);
    auto& manifest = image.manifest;
    if (output.docker_types) manifest.media_type = oci::media::kDockerManifest;
    manifest.config.media_type =
        output.docker_types ? oci::media::kDockerConfig : oci::media::kConfig;
    manifest.config.digest = codec::sha256(image.config_json);
    manifest.config.size = image.config_json.size();
    const auto annotations = [&](AnnotationPlace place) {
        return annotations_on(place, session.request, output, config.platform);
    };
    manifest.annotations = annotations(AnnotationPlace::Manifest);
    image.manifest_json = oci::encode(manifest);
    image.descriptor.media_type = manifest.media_type;
    image.descriptor.digest = codec::sha256(image.manifest_json);
    image.descriptor.size = image.manifest_json.size();
    image.descriptor.annotations = annotations(AnnotationPlace::ManifestDescriptor);
    image.descriptor.platform = config.platform;
    return image;
}

// What is said about the image is said of every name it gets.
void attest_image(const Built& build, const Output& output, FinalImage& image) {
    const auto predicates = predicates_of(build, &image);
    if (predicates.empty()) return;
    std::vector<Subject> subjects;
    for (const auto& name : names_of(build.session, output))
        subjects.push_back(
            {package_url("docker", name, *image.descriptor.platform), image.descriptor.digest});
    if (subjects.empty()) subjects.push_back({"_", image.descriptor.digest});
    image.attestation = attest(image, predicates, subjects, output.attestation_artifact);
}

// What the store's own index says about the image, for `shale images`.
void describe(oci::Descriptor& descriptor, const std::vector<Built>& builds,
              const std::string& stage_name) {
    const auto host = oci::Platform::host();
    const auto native = std::find_if(builds.begin(), builds.end(), [&](const Built& build) {
        return build.session.platform.normalized() == host;
    });
    const auto& build = native == builds.end() ? builds.front() : *native;
    const auto& session = build.session;
    // Readers of the store take this machine's image of an index; here there may be none.
    if (!descriptor.platform && native == builds.end()) descriptor.platform = session.platform;
    // Merging layers that no step has looked at is too much for a number.
    if (build.state.root->is_at_hand())
        descriptor.annotations[std::string(kAnnotationUnpackedBytes)] =
            std::to_string(unpacked_bytes(*build.state.root->load().tree));
    descriptor.annotations[std::string(kAnnotationStage)] = stage_name;
    descriptor.annotations[std::string(kAnnotationRecipe)] =
        Key("recipe")
            .add("context", session.context.name())
            .add("dockerfile", session.definition_path)
            .finish()
            .short_hex();
}

oci::Reference with_digest_only(oci::Reference name, const Digest& digest) {
    name.tag.clear();
    name.digest = digest;
    return name;
}

}  // namespace

const FinalImage& FinalResult::preferred() const {
    const auto host = oci::Platform::host();
    for (const auto& image : images)
        if (image.descriptor.platform && image.descriptor.platform->normalized() == host)
            return image;
    return images.front();
}

FinalResult make_result(const std::vector<Built>& builds, const Output& output, bool as_index,
                        bool as_plain_tars) {
    FinalResult result;
    for (const auto& build : builds) {
        result.images.push_back(make_image(build, output, as_plain_tars));
        attest_image(build, output, result.images.back());
        as_index = as_index || result.images.back().attestation;
    }
    result.descriptor = result.images.front().descriptor;
    if (!as_index) return result;
    const auto annotations = [&](AnnotationPlace place) {
        return annotations_on(place, builds.front().session.request, output, std::nullopt);
    };
    oci::Index index;
    if (output.docker_types) index.media_type = oci::media::kDockerIndex;
    for (const auto& image : result.images)
        index.manifests.push_back(image.descriptor);
    for (const auto& image : result.images)
        if (image.attestation) index.manifests.push_back(image.attestation->descriptor);
    index.annotations = annotations(AnnotationPlace::Index);
    result.index_json = oci::encode(index);
    result.descriptor = {};
    result.descriptor.media_type = index.media_type;
    result.descriptor.digest = codec::sha256(result.index_json);
    result.descriptor.size = result.index_json.size();
    result.descriptor.annotations = annotations(AnnotationPlace::IndexDescriptor);
    return result;
}

std::vector<std::string> export_image(const std::vector<Built>& builds, const Output& output,
                                      const std::string& stage_name, const FinalResult& result) {
    auto& session = builds.front().session;
    auto& store = session.services.store;
    for (const auto& image : result.images) {
        store.put_blob(as_bytes(image.config_json));
        store.put_blob(as_bytes(image.manifest_json));
        if (!image.attestation) continue;
        for (const auto& statement : image.attestation->statements)
            store.put_blob(as_bytes(statement));
        store.put_blob(as_bytes(image.attestation->config_json));
        store.put_blob(as_bytes(image.attestation->manifest_json));
    }
    if (result.is_index()) store.put_blob(as_bytes(result.index_json));

    auto descriptor = result.descriptor;
    describe(descriptor, builds, stage_name);
    const auto digest = descriptor.digest;
    const auto given = names_of(session, output);
    std::vector<oci::Reference> names;
    for (const auto& name : given) {
        if (!output.push_by_digest) names.push_back(name);
        if (output.name_canonical) names.push_back(with_digest_only(name, digest));
    }
    if (!output.dangling_prefix.empty() && (given.empty() || !output.dangling_empty_only))
        names.push_back(oci::Reference::parse(output.dangling_prefix + "@" + digest.str()));
    if (output.keep) {
        for (const auto& name : names)
            store.tag(name, descriptor);
        if (names.empty()) store.keep(descriptor);
    }
    if (output.push)
        for (const auto& name : given)
            session.services.images.push(output.push_by_digest ? with_digest_only(name, digest)
                                                               : name,
                                         result.descriptor, session.tracker);
    std::vector<std::string> texts;
    for (const auto& name : names)
        texts.push_back(name.str());
    return texts;
}

}  // namespace shale::build
