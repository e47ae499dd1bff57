// The config and the manifest, and the order in which outputs happen.
#include "export.hpp"

#include "key.hpp"
#include "step.hpp"

#include <algorithm>
#include <set>

namespace shale::build {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::string_view kRepairComment = "buildkit.exporter.image.v0";

std::int64_t clamp(const Session& session, std::int64_t ns) {
    const auto& epoch = session.request.source_date_epoch;
    return epoch ? std::min(ns, *epoch * kNsPerSecond) : ns;
}

// Base images exist whose history disagrees with their layers; every reader counts on agreement.
void repair_history(std::vector<oci::History>& history, std::size_t layers) {
    std::size_t described = 0;
    for (const auto& entry : history)
        described += entry.empty_layer ? 0 : 1;
    for (auto& entry : history) {
        if (described <= layers) break;
        if (entry.empty_layer) continue;
        entry.empty_layer = true;
        --described;
    }
    for (; described < layers; ++described) {
        oci::History entry;
        entry.comment = kRepairComment;
        history.push_back(std::move(entry));
    }
}

std::size_t base_layers(const StageState& state) {
    return static_cast<std::size_t>(
        std::count_if(state.layers.begin(), state.layers.end(),
                      [](const auto& slot) { return slot->before == nullptr; }));
}

// Metadata entries have no moment of their own: they take that of the layer before them, or, ahead
// of the first new layer, of that one. So a cached rebuild yields the same config.
void fill_times(const Session& session, const StageState& state,
                std::vector<oci::History>& history) {
    std::optional<std::int64_t> moment;
    if (!history.empty()) moment = history.back().created_ns;
    for (const auto& added : state.history)
        if (added.layer) {
            moment = clamp(session, added.layer->created_ns);
            break;
        }
    for (const auto& added : state.history) {
        if (added.layer) moment = clamp(session, added.layer->created_ns);
        auto entry = added.entry;
        entry.created_ns = moment;
        history.push_back(std::move(entry));
    }
}

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

oci::Descriptor layer_for(Session& session, LayerSlot& slot, const Output& output) {
    ensure_layer(session, slot);
    auto descriptor = *slot.blob;
    const auto current = oci::layer_compression(descriptor.media_type);
    const bool is_base = slot.before == nullptr;
    const bool convert = output.compression && (!is_base || output.force_compression) &&
                         (current != output.compression || output.compression_level);
    if (convert)
        descriptor = recompress(session, descriptor, slot.diff_id, *output.compression,
                                output.compression_level);
    else if (current)  // Docker's media types have no place in an OCI manifest
        descriptor.media_type = oci::layer_media_type(*current);
    descriptor.annotations.clear();
    return descriptor;
}

FinalImage make_image(Session& session, const StageState& state, const Output& output) {
    FinalImage image;
    for (const auto& slot : state.layers) {
        image.manifest.layers.push_back(layer_for(session, *slot, output));
        image.diff_ids.push_back(slot->diff_id);
    }
    auto config = final_config(session, state);
    config.diff_ids = image.diff_ids;
    image.config_json = oci::encode(config);
    image.manifest.config = {std::string(oci::media::kConfig),
                             codec::sha256(image.config_json),
                             image.config_json.size(),
                             {},
                             {}};
    image.manifest_json = oci::encode(image.manifest);
    image.descriptor = {std::string(oci::media::kManifest),
                        codec::sha256(image.manifest_json),
                        image.manifest_json.size(),
                        {},
                        config.platform};
    return image;
}

// Base layers that no step has read were never pulled; an image needs them all.
void pull_missing_layers(Session& session, const StageState& state) {
    auto& store = session.services.store;
    for (const auto& slot : state.layers)
        if (slot->before == nullptr && !store.has_blob(slot->blob->digest)) {
            slot->after->load();
            return;
        }
}

std::vector<oci::Reference> names_of(const Session& session, const Output& output) {
    auto names = session.request.tags;
    for (const auto& name : output.names)
        names.push_back(oci::Reference::parse(name));
    return names;
}

void export_image(Session& session, const StageState& state, const Output& output,
                  const std::string& stage_name, FinalImage& image) {
    auto& store = session.services.store;
    store.put_blob(as_bytes(image.config_json));
    store.put_blob(as_bytes(image.manifest_json));
    auto descriptor = image.descriptor;
    descriptor.annotations[std::string(kAnnotationUnpackedBytes)] =
        std::to_string(unpacked_bytes(*state.root->load().tree));
    descriptor.annotations[std::string(kAnnotationStage)] = stage_name;
    descriptor.annotations[std::string(kAnnotationRecipe)] =
        Key("recipe")
            .add("context", session.context.name())
            .add("dockerfile", session.definition_path)
            .finish()
            .short_hex();
    const auto names = names_of(session, output);
    if (names.empty()) store.keep(descriptor);
    for (const auto& name : names) {
        store.tag(name, descriptor);
        if (output.push) session.services.images.push(name, session.tracker);
    }
}

}  // namespace

oci::ImageConfig final_config(const Session& session, const StageState& state) {
    auto config = state.image;
    repair_history(config.history, base_layers(state));
    fill_times(session, state, config.history);
    config.created_ns = config.history.empty() ? std::nullopt : config.history.back().created_ns;
    for (const auto& label : session.request.labels)
        config.config.labels[label.key] = label.value;
    return config;
}

Result export_outputs(Session& session, const StageState& state, const std::string& stage_name) {
    Result result;
    auto outputs = session.request.outputs;
    if (outputs.empty()) outputs.emplace_back();
    for (const auto& output : outputs) {
        session.check_stop();
        if (output.type == OutputType::CacheOnly) continue;
        if (output.type == OutputType::Local || output.type == OutputType::Tar) {
            session.tracker.run(output.type == OutputType::Local ? "exporting to client directory"
                                                                 : "exporting to client tarball",
                                [&](VertexId) {
                                    write_tree(session, output, *state.root);
                                    return Outcome::Done;
                                });
            continue;
        }
        session.tracker.run("exporting to image", [&](VertexId vertex) {
            pull_missing_layers(session, state);
            auto image = make_image(session, state, output);
            auto& progress = session.tracker.progress();
            progress.status(vertex, "exporting layers", 0, 0);
            progress.status(vertex, "exporting manifest " + image.descriptor.digest.str(), 0, 0);
            result.image_id = image.manifest.config.digest;
            if (output.type == OutputType::Image) {
                export_image(session, state, output, stage_name, image);
                result.manifest = image.descriptor;
            } else {
                write_archive(session, output, image, names_of(session, output));
            }
            for (const auto& name : names_of(session, output))
                progress.status(vertex, "naming to " + name.str(), 0, 0);
            return Outcome::Done;
        });
    }
    return result;
}

}  // namespace shale::build
