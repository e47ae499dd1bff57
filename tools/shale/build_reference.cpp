#include "build_reference.hpp"

#include "build_lookup.hpp"
#include "image_lookup.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::cli {

namespace {

using build::BuildRecord;
using build::RecordedStep;

constexpr std::string_view kPrefix = "build:";

struct Parts {
    std::string build, place;
};

Parts split(const std::string& text) {
    const auto rest = text.substr(kPrefix.size());
    const auto slash = rest.find('/');
    if (slash == std::string::npos) return {rest, ""};
    return {rest.substr(0, slash), rest.substr(slash + 1)};
}

const RecordedStep& last_of_stage(const BuildRecord& record, const std::string& stage) {
    const RecordedStep* found = nullptr;
    for (const auto& step : record.steps)
        if (step.stage == stage && !step.root.is_zero()) found = &step;
    if (!found)
        fail(ErrorKind::NotFound, "build " + record.id + " has no finished step in a stage " +
                                      (stage.empty() ? "at all" : "\"" + stage + "\""));
    return *found;
}

const RecordedStep& failed_step(const BuildRecord& record) {
    for (const auto& step : record.steps)
        if (step.state == RecordedStep::State::Failed && !step.tree.is_zero()) return step;
    fail(ErrorKind::NotFound, "build " + record.id +
                                  " has no RUN that failed and left files; "
                                  "build:^1/failed is of the one before it");
}

const RecordedStep& step_at(const BuildRecord& record, const std::string& place) {
    if (place == "failed") return failed_step(record);
    if (place.starts_with("step:")) {
        const auto& step = find_build_step(record, place.substr(5));
        if (step.root.is_zero())
            fail(ErrorKind::NotFound,
                 fmt::format("step {} did not finish; build:{}/failed shows what it left",
                             step.number, record.id));
        return step;
    }
    if (!place.empty()) return last_of_stage(record, place);
    std::uint32_t last = 0;  // the target is the last stage that was reached
    for (const auto& step : record.steps)
        if (!step.root.is_zero()) last = std::max(last, step.stage_index);
    for (auto step = record.steps.rbegin(); step != record.steps.rend(); ++step)
        if (step->stage_index == last && !step->root.is_zero()) return *step;
    fail(ErrorKind::NotFound, "build " + record.id + " has no finished step");
}

// What the nearest RUN of the stage, up to this step, was given.
oci::RunConfig config_of(const BuildRecord& record, const RecordedStep& wanted) {
    oci::RunConfig config;
    for (const auto& step : record.steps) {
        const bool counts = step.stage == wanted.stage && step.platform == wanted.platform &&
                            step.number <= wanted.number;
        const bool is_run = std::ranges::any_of(
            step.inputs, [](const auto& input) { return input.name == "argv"; });
        if (!counts || !is_run) continue;
        config = {};
        for (const auto& input : step.inputs) {
            if (input.name == "env" && !input.is_digest) config.env.push_back(input.value);
            if (input.name == "cwd") config.working_dir = input.value;
            if (input.name == "user") config.user = input.value;
        }
    }
    return config;
}

// What the build made, if it made an image, and that is still there.
std::optional<StoredImage> image_of(store::Store& store, const BuildRecord& record) {
    if (record.image.empty()) return std::nullopt;
    try {
        return find_image(store, record.image);
    } catch (const Error& error) {
        log(LogLevel::Debug, "the image of build " + record.id + ": " + error.what());
        return std::nullopt;
    }
}

// A COPY --link makes a layer of its own: what a reader means is the stage's root with it.
Digest whole_root(const BuildRecord& record, const RecordedStep& step) {
    for (const auto& [key, root] : record.roots)
        if (root.kind == build::RecordedRoot::Kind::LaidOver && root.upper == step.root) return key;
    return step.root;
}

}  // namespace

bool is_build_reference(const std::string& text) {
    if (!text.starts_with(kPrefix)) return false;
    const auto build = split(text).build;
    const bool is_id =
        build.size() >= 4 && build.find_first_not_of("0123456789abcdef") == std::string::npos;
    return build == "last" || build.starts_with('^') || is_id;
}

BuildRoot open_build_reference(Workspace& workspace, const std::string& text) {
    auto& store = workspace.store();
    store::BuildHistory history(store);
    const auto builds = remembered_builds(history);
    const auto [id, place] = split(text);
    const auto& record = find_build(builds, id);
    const auto& step = step_at(record, place);
    const auto root = place == "failed" ? build::failed_root(store, step)
                                        : build::past_root(store, record, whole_root(record, step));
    const auto image = place.empty() ? image_of(store, record) : std::nullopt;
    auto title = fmt::format("step {} of build {}: {}", step.number, record.id, step.name);
    if (place == "failed" && step.instruction.find("--mount=") != std::string::npos)
        title += "; what it mounted is not there";
    return {root.tree, root.sources, image ? image->config.config : config_of(record, step),
            std::move(title)};
}

}  // namespace shale::cli
