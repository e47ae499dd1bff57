#include "build_lookup.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shale::cli {

namespace {

std::optional<std::size_t> parse_count(std::string_view text) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::vector<build::BuildRecord> remembered_builds(store::BuildHistory& history) {
    std::vector<build::BuildRecord> builds;
    for (const auto& row : history.list()) {
        try {
            builds.push_back(build::decode_build_record(row.document));
        } catch (const Error& error) {  // of another version, or damaged: as if it were not there
            log(LogLevel::Debug, "build " + row.id + ": " + error.what());
        }
    }
    return builds;
}

const build::BuildRecord& find_build(const std::vector<build::BuildRecord>& builds,
                                     const std::string& text) {
    if (text == "last" || text.starts_with('^')) {
        const auto back = text == "last" ? std::optional<std::size_t>(0)
                                         : parse_count(std::string_view(text).substr(1));
        if (!back) fail(ErrorKind::Invalid, "\"" + text + "\" is not of the form ^N");
        if (*back < builds.size()) return builds[*back];
        fail(ErrorKind::NotFound, builds.empty()
                                      ? "no build is on record"
                                      : fmt::format("only {} builds are on record", builds.size()));
    }
    const build::BuildRecord* found = nullptr;
    for (const auto& build : builds) {
        if (text.empty() || !build.id.starts_with(text)) continue;
        if (found) fail(ErrorKind::Invalid, "several builds begin with " + text);
        found = &build;
    }
    if (!found)
        fail(ErrorKind::NotFound, "no build " + text + " is on record; `shale builds` lists them");
    return *found;
}

const build::RecordedStep& find_build_step(const build::BuildRecord& build,
                                           const std::string& text) {
    if (const auto number = parse_count(text)) {
        if (const auto* step =
                build.step(static_cast<std::uint32_t>(std::min<std::size_t>(*number, 0xffff'ffff))))
            return *step;
        fail(ErrorKind::NotFound,
             fmt::format("build {} has {} steps, no step {}", build.id, build.steps.size(), text));
    }
    const build::RecordedStep* found = nullptr;
    for (const auto& step : build.steps) {
        if (step.name.find(text) == std::string::npos) continue;
        if (found)
            fail(ErrorKind::Invalid, fmt::format("\"{}\" is in the names of steps {} and {}", text,
                                                 found->number, step.number));
        found = &step;
    }
    if (!found)
        fail(ErrorKind::NotFound, "no step of build " + build.id + " has \"" + text +
                                      "\" in its name; `shale builds show` lists them");
    return *found;
}

build::FindTree tree_finder(store::BuildHistory& history, store::Store& store) {
    return [&](const Digest& digest) -> std::shared_ptr<const snapshot::Tree> {
        if (auto tree = history.tree(digest)) return tree;
        return store.has_tree(digest) ? store.tree(digest) : nullptr;
    };
}

std::string build_name(const build::BuildRecord& build) {
    const auto last = [](std::string_view path) {
        const auto slash = path.rfind('/');
        return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
    };
    auto name = last(build.context) + "/" + last(build.dockerfile);
    if (!build.target.empty()) name += " (" + build.target + ")";
    return name;
}

std::string_view word(build::BuildRecord::Outcome outcome) {
    using Outcome = build::BuildRecord::Outcome;
    return outcome == Outcome::Completed ? "completed"
           : outcome == Outcome::Failed  ? "failed"
                                         : "cancelled";
}

std::string_view word(build::RecordedStep::State state) {
    using State = build::RecordedStep::State;
    switch (state) {
    case State::Cached:
        return "cached";
    case State::Executed:
        return "done";
    case State::Failed:
        return "failed";
    case State::Cancelled:
        break;
    }
    return "cancelled";
}

std::string format_seconds(std::int64_t ns) {
    const auto seconds = static_cast<double>(std::max<std::int64_t>(ns, 0)) / 1e9;
    if (seconds < 60) return fmt::format("{:.1f}s", seconds);
    const auto whole = static_cast<std::int64_t>(seconds);
    return fmt::format("{}m{:02}s", whole / 60, whole % 60);
}

}  // namespace shale::cli
