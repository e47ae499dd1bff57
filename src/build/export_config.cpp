// The config of the image: what the stage left, its history with moments in it, and what the
// command line adds.
#include "export.hpp"

#include <algorithm>

namespace shale::build {
namespace {

constexpr std::string_view kRepairComment = "buildkit.exporter.image.v0";

std::int64_t clamp(std::int64_t ns, std::optional<std::int64_t> epoch) {
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
void fill_times(const StageState& state, std::optional<std::int64_t> epoch,
                std::vector<oci::History>& history) {
    std::optional<std::int64_t> moment;
    if (!history.empty()) moment = history.back().created_ns;
    for (const auto& added : state.history)
        if (added.layer) {
            moment = clamp(added.layer->created_ns, epoch);
            break;
        }
    for (const auto& added : state.history) {
        if (added.layer) moment = clamp(added.layer->created_ns, epoch);
        auto entry = added.entry;
        entry.created_ns = moment ? std::optional(clamp(*moment, epoch)) : std::nullopt;
        history.push_back(std::move(entry));
    }
}

}  // namespace

oci::ImageConfig final_config(const Session& session, const StageState& state,
                              std::optional<std::int64_t> epoch) {
    auto config = state.image;
    repair_history(config.history, base_layers(state));
    fill_times(state, epoch, config.history);
    config.created_ns = config.history.empty() ? std::nullopt : config.history.back().created_ns;
    if (config.created_ns) config.created_ns = clamp(*config.created_ns, epoch);
    if (session.platform_was_asked_for) config.platform = session.platform;
    for (const auto& label : session.request.labels)
        config.config.labels[label.key] = label.value;
    return config;
}

}  // namespace shale::build
