#include "build_summary.hpp"

#include "build_lookup.hpp"
#include "json_text.hpp"
#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace shale::cli {

namespace {

using build::BuildRecord;
using build::RecordedStep;

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kWorthTellingNs = kNsPerSecond;
constexpr std::uint64_t kWorthTellingBytes = 10'000'000;
constexpr std::size_t kNameColumns = 50;
constexpr std::size_t kMostHints = 2;

std::int64_t duration(const RecordedStep& step) {
    return std::max<std::int64_t>(step.finished_ns - step.started_ns, 0);
}

// "line 14, RUN npm ci"
std::string place(const RecordedStep& step) {
    const auto text = fit(printable(step.instruction), kNameColumns);
    return step.line ? fmt::format("line {}, {}", step.line, text) : text;
}

const RecordedStep* slowest(const BuildRecord& record) {
    const RecordedStep* found = nullptr;
    for (const auto& step : record.steps)
        if (step.was_missed() && (!found || duration(step) > duration(*found))) found = &step;
    return found && duration(*found) >= kWorthTellingNs ? found : nullptr;
}

const RecordedStep* largest(const BuildRecord& record) {
    const RecordedStep* found = nullptr;
    for (const auto& step : record.steps)
        if (!found || step.layer_bytes > found->layer_bytes) found = &step;
    return found && found->layer_bytes >= kWorthTellingBytes ? found : nullptr;
}

// The stage whose steps made the most, if it is no part of the result.
std::string largest_stage(const BuildRecord& record, std::uint64_t image_bytes) {
    std::map<std::string, std::uint64_t> stages;
    for (const auto& step : record.steps)
        stages[step.stage] += step.layer_bytes;
    const auto found = std::ranges::max_element(stages, {}, [](const auto& s) { return s.second; });
    if (found == stages.end() || found->second <= image_bytes) return {};
    return fmt::format(", of {} in stage {}", format_size(found->second), found->first);
}

// A RUN that changes owners or modes of what a COPY of its stage has just brought stores all of it
// once more.
std::string stored_again(const BuildRecord& record, const RecordedStep& step) {
    const auto& text = step.instruction;
    const bool chown = text.find("chown ") != std::string::npos;
    const bool chmod = text.find("chmod ") != std::string::npos;
    if (!text.starts_with("RUN") || (!chown && !chmod) || step.layer_bytes < kWorthTellingBytes)
        return {};
    for (const auto& other : record.steps) {
        const bool is_copy =
            other.instruction.starts_with("COPY") || other.instruction.starts_with("ADD");
        if (!is_copy || other.stage != step.stage || other.number > step.number ||
            other.layer_bytes < kWorthTellingBytes || step.layer_bytes < other.layer_bytes / 2)
            continue;
        return fmt::format("line {} stores {} again: use --{} on line {}", step.line,
                           format_size(step.layer_bytes), chown ? "chown" : "chmod", other.line);
    }
    return {};
}

}  // namespace

std::string build_times(const BuildRecord& record) {
    std::int64_t saved_ns = 0;
    for (const auto& step : record.steps)
        if (!step.was_missed()) saved_ns += step.cost_ms * kNsPerMs;
    auto text = "in " + format_seconds(record.finished_ns - record.started_ns);
    if (saved_ns >= kWorthTellingNs)
        text += fmt::format(", {} saved by the cache", format_seconds(saved_ns));
    return text;
}

std::vector<std::string> build_summary(const BuildRecord& record,
                                       std::optional<std::uint64_t> image_bytes) {
    std::vector<std::string> lines;
    const auto missed = std::ranges::count_if(record.steps, &RecordedStep::was_missed);
    if (missed == 0) return lines;
    std::string sizes;
    if (image_bytes)
        sizes = "image of " + format_size(*image_bytes) + largest_stage(record, *image_bytes);
    if (const auto* step = largest(record))
        sizes += fmt::format("{}largest layer {}: {}", sizes.empty() ? "" : "; ",
                             format_size(step->layer_bytes), place(*step));
    if (!sizes.empty()) lines.push_back(sizes);
    if (const auto* step = slowest(record))
        lines.push_back(
            fmt::format("slowest step {}: {}", format_seconds(duration(*step)), place(*step)));
    std::size_t hints = 0;
    for (const auto& step : record.steps)
        if (auto hint = stored_again(record, step); !hint.empty() && hints++ < kMostHints)
            lines.push_back("hint: " + hint);
    return lines;
}

namespace {

using Json = nlohmann::ordered_json;

Json event(const std::string& name, const char* category, std::int64_t from_ns, std::int64_t to_ns,
           std::size_t row, std::int64_t begin_ns) {
    return {{"name", name},
            {"cat", category},
            {"ph", "X"},
            {"ts", static_cast<double>(from_ns - begin_ns) / 1e3},
            {"dur", static_cast<double>(std::max<std::int64_t>(to_ns - from_ns, 0)) / 1e3},
            {"pid", 1},
            {"tid", row}};
}

Json row_name(std::size_t row, const std::string& name) {
    return {
        {"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", row}, {"args", {{"name", name}}}};
}

// Puts what overlaps into rows of its own.
class Rows {
  public:
    explicit Rows(std::size_t first) : first_(first) {}
    std::size_t place(std::int64_t from_ns, std::int64_t to_ns) {
        std::size_t row = 0;
        while (row < ends_.size() && ends_[row] > from_ns)
            ++row;
        if (row == ends_.size()) ends_.push_back(0);
        ends_[row] = to_ns;
        return first_ + row;
    }
    std::size_t end() const { return first_ + ends_.size(); }

  private:
    std::size_t first_;
    std::vector<std::int64_t> ends_;
};

}  // namespace

std::string build_trace(const BuildRecord& record) {
    Json events = Json::array();
    events.push_back({{"name", "process_name"},
                      {"ph", "M"},
                      {"pid", 1},
                      {"args", {{"name", "shale build " + record.id}}}});
    std::map<std::string, std::size_t> stages;
    for (const auto& step : record.steps) {
        const auto stage = step.platform + " " + step.stage;
        const auto [row, is_new] = stages.emplace(stage, stages.size() + 1);
        if (is_new) events.push_back(row_name(row->second, "stage " + step.stage));
        auto made = event(step.name, "step", step.started_ns, step.finished_ns, row->second,
                          record.started_ns);
        made["args"] = {{"line", step.line},
                        {"status", word(step.state)},
                        {"layerBytes", step.layer_bytes},
                        {"tarBytes", step.tar_bytes},
                        {"compressedBytes", step.compressed_bytes},
                        {"key", step.key.str()}};
        events.push_back(std::move(made));
    }
    auto work = record.work;
    std::ranges::stable_sort(work, {}, &build::RecordedWork::started_ns);
    Rows rows(stages.size() + 1);
    for (const auto& item : work)
        events.push_back(event(item.name, "work", item.started_ns, item.finished_ns,
                               rows.place(item.started_ns, item.finished_ns), record.started_ns));
    for (auto row = stages.size() + 1; row < rows.end(); ++row)
        events.push_back(row_name(row, "work"));
    const Json json = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
    return json_text(json, -1);
}

}  // namespace shale::cli
