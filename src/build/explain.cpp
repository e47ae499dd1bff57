// Which earlier step a step is compared with: the alignment of a stage's instructions in two
// builds, in the latest one where it succeeded. Others may differ less; but what people want to
// know is what happened since.
#include "step_comparison.hpp"

#include <shale/explain.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shale::build {
namespace {

using Kind = Cause::Kind;

// Of one line, to find one in which the step succeeded.
constexpr std::size_t kMostBuilds = 50;
constexpr std::size_t kMostSteps = 2000;  // of a stage: the alignment is quadratic

std::vector<const RecordedStep*> steps_of_stage(const BuildRecord& build, const RecordedStep& like,
                                                bool by_index) {
    std::vector<const RecordedStep*> steps;
    for (const auto& step : build.steps)
        if (step.platform == like.platform &&
            (by_index ? step.stage_index == like.stage_index : step.stage == like.stage))
            steps.push_back(&step);
    return steps;
}

std::string keyword(const RecordedStep& step) {
    return step.instruction.substr(0, step.instruction.find_first_of(" \t"));
}

using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;

// The longest common subsequence of instructions, as pairs of positions.
Pairs align(const std::vector<const RecordedStep*>& a, const std::vector<const RecordedStep*>& b) {
    std::vector<std::vector<std::uint32_t>> length(a.size() + 1,
                                                   std::vector<std::uint32_t>(b.size() + 1));
    const auto is_equal = [&](std::size_t i, std::size_t j) {
        return a[i]->instruction == b[j]->instruction;
    };
    for (std::size_t i = a.size(); i-- > 0;)
        for (std::size_t j = b.size(); j-- > 0;)
            length[i][j] = is_equal(i, j) ? length[i + 1][j + 1] + 1
                                          : std::max(length[i + 1][j], length[i][j + 1]);
    Pairs pairs;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        if (is_equal(i, j))
            pairs.emplace_back(i++, j++);
        else
            ++(length[i + 1][j] >= length[i][j + 1] ? i : j);
    }
    return pairs;
}

// Whether `old` has a step that stands behind this one here.
bool came_past(const BuildRecord& build, const RecordedStep& step, const BuildRecord& old) {
    const auto mine = steps_of_stage(build, step, false);
    const auto theirs = steps_of_stage(old, step, false);
    if (mine.size() > kMostSteps || theirs.size() > kMostSteps) return true;
    return std::ranges::any_of(align(mine, theirs), [&](const auto& pair) {
        return mine[pair.first]->number > step.number;
    });
}

Explanation without_record(const RecordedStep& step, Kind kind, const std::string& text) {
    Explanation out;
    out.step = step.number;
    out.causes.push_back({kind, {}, {}, {}, 0, text, {}});
    return out;
}

}  // namespace

const RecordedStep* counterpart(const BuildRecord& build, const RecordedStep& step,
                                const BuildRecord& old) {
    const auto mine = steps_of_stage(build, step, false);
    auto theirs = steps_of_stage(old, step, false);
    if (theirs.empty()) theirs = steps_of_stage(old, step, true);
    if (mine.size() > kMostSteps || theirs.size() > kMostSteps) return nullptr;
    const auto self = static_cast<std::size_t>(
        std::ranges::find_if(mine, [&](const auto* at) { return at->number == step.number; }) -
        mine.begin());
    std::size_t begin = 0, old_begin = 0, end = mine.size(), old_end = theirs.size();
    for (const auto& [i, j] : align(mine, theirs)) {
        if (i == self) return theirs[j];
        if (i < self) begin = i + 1, old_begin = j + 1;
        if (i > self && i < end) end = i, old_end = j;
    }
    // Between two that stayed: the first of a kind becomes the first of that kind.
    std::size_t ordinal = 0;
    for (std::size_t i = begin; i < self; ++i)
        ordinal += keyword(*mine[i]) == keyword(step) ? 1 : 0;
    for (std::size_t j = old_begin; j < old_end; ++j)
        if (keyword(*theirs[j]) == keyword(step) && ordinal-- == 0) return theirs[j];
    return nullptr;
}

Explanation explain(const BuildRecord& build, const RecordedStep& step,
                    const std::vector<BuildRecord>& earlier, const FindTree& find_tree,
                    bool any_line) {
    if (!step.may_use_cache)
        return without_record(step, Kind::NoCache, "the cache was not to be used (--no-cache)");
    bool is_known = false, is_unfinished = false, all_ended_early = true;
    std::size_t looked_at = 0;
    for (const auto& old : earlier) {
        if (old.id == build.id || (!any_line && old.line() != build.line())) continue;
        if (looked_at++ == kMostBuilds) break;
        is_known = true;
        const auto* before = counterpart(build, step, old);
        if (before && !before->root.is_zero())
            return compare_steps(build, step, old, *before, find_tree);
        is_unfinished |= before != nullptr;
        all_ended_early = all_ended_early && old.outcome != BuildRecord::Outcome::Completed &&
                          !came_past(build, step, old);
    }
    if (is_unfinished) return without_record(step, Kind::Unfinished, "it never succeeded before");
    if (is_known && all_ended_early)
        return without_record(step, Kind::Unfinished, "no earlier build came this far");
    return without_record(step, Kind::NoRecord,
                          is_known ? "the instruction is new"
                                   : "no earlier build of this Dockerfile is on record");
}

std::string Explanation::line() const {
    constexpr std::size_t kShownCauses = 2;
    std::string text;
    for (std::size_t i = 0; i < std::min(causes.size(), kShownCauses); ++i)
        text += (i ? "; " : "") + causes[i].text;
    const auto more = causes.size() - std::min(causes.size(), kShownCauses) + more_files;
    return more ? fmt::format("{}; and {} more", text, more) : text;
}

std::string_view word(Kind kind) {
    static constexpr std::array<std::string_view, 12> kWords = {
        "no-cache", "no-record", "removed", "unfinished", "instruction", "argument",
        "variable", "file",      "base",    "parent",     "source",      "setting"};
    return kWords.at(static_cast<std::size_t>(kind));
}

}  // namespace shale::build
