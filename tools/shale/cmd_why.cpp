// shale why: what made a step run again.
//
// The comparison itself is the build's (explain.hpp). Here is what it is given: the builds before
// the one in question, or the one that --against names, and a way to their trees, which for an
// exported record are those in the file.
#include "build_lookup.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <memory>
#include <optional>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostExportBytes = 256u << 20;
constexpr std::size_t kShownCauses = 10;

struct Flags {
    std::string step, build = "last", against;
    bool json = false;
};

// What steps are compared with: earlier builds of this machine, or the one that was named.
struct Past {
    std::vector<build::BuildRecord> builds;  // newest first
    std::map<Digest, std::shared_ptr<const snapshot::Tree>> trees;
    bool is_named = false;
};

bool is_file(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

Past past_of(const Flags& flags, const std::vector<build::BuildRecord>& builds,
             const build::BuildRecord& build) {
    Past past;
    past.is_named = !flags.against.empty();
    if (is_file(flags.against)) {
        auto exported = in_context(
            [&] { return flags.against; },
            [&] { return build::decode_export(read_file(flags.against, kMostExportBytes)); });
        past.builds.push_back(std::move(exported.record));
        past.builds.back().id += " (exported)";  // it may be a copy of this very build
        past.trees = std::move(exported.trees);
        return past;
    }
    if (past.is_named) {
        past.builds.push_back(find_build(builds, flags.against));
        return past;
    }
    for (const auto& other : builds)
        if (other.started_ns < build.started_ns) past.builds.push_back(other);
    return past;
}

Json cause_json(const build::Cause& cause) {
    Json json = {{"kind", build::word(cause.kind)}, {"text", cause.text}};
    if (!cause.subject.empty()) json["subject"] = cause.subject;
    if (!cause.before.empty()) json["before"] = cause.before;
    if (!cause.after.empty()) json["after"] = cause.after;
    if (cause.step) json["step"] = cause.step;
    if (!cause.hint.empty()) json["hint"] = cause.hint;
    return json;
}

Json explanation_json(const build::RecordedStep& step, const build::Explanation& explanation) {
    Json json = {{"step", step.number},
                 {"name", step.name},
                 {"line", step.line},
                 {"status", word(step.state)},
                 {"against", explanation.against}};
    if (explanation.against_step) json["againstStep"] = explanation.against_step;
    json["causes"] = Json::array();
    for (const auto& cause : explanation.causes)
        json["causes"].push_back(cause_json(cause));
    json["moreFiles"] = explanation.more_files;
    return json;
}

std::string explanation_text(const build::RecordedStep& step,
                             const build::Explanation& explanation) {
    std::string out = fmt::format("#{} {}\n", step.number, printable(step.name));
    std::size_t shown = 0;
    std::string hints;
    for (const auto& cause : explanation.causes) {
        if (++shown <= kShownCauses) out += "   " + printable(cause.text) + "\n";
        const auto hint = cause.hint.empty() ? "" : "   hint: " + printable(cause.hint) + "\n";
        if (hints.find(hint) == std::string::npos) hints += hint;
    }
    const auto more =
        explanation.causes.size() - std::min(shown, kShownCauses) + explanation.more_files;
    if (more) out += fmt::format("   and {} more\n", more);
    return out + hints;
}

int run(const Flags& flags, Workspace& workspace) {
    store::BuildHistory history(workspace.store());
    const auto builds = remembered_builds(history);
    const auto& build = find_build(builds, flags.build);
    const auto past = past_of(flags, builds, build);
    const auto here = tree_finder(history, workspace.store());
    const build::FindTree find_tree = [&](const Digest& digest) {
        const auto found = past.trees.find(digest);
        return found == past.trees.end() ? here(digest) : found->second;
    };
    std::vector<const build::RecordedStep*> steps;
    if (!flags.step.empty()) {
        steps.push_back(&find_build_step(build, flags.step));
        if (!steps.front()->was_missed() && !past.is_named) {
            print_note(fmt::format("step {} was cached", steps.front()->number));
            if (!flags.json) return kOk;
        }
    } else {
        for (const auto& step : build.steps)
            if (step.was_missed()) steps.push_back(&step);
    }
    Json array = Json::array();
    std::string text;
    for (const auto* step : steps) {
        if (!step->was_missed() && !past.is_named) continue;
        const auto explanation =
            build::explain(build, *step, past.builds, find_tree, past.is_named);
        array.push_back(explanation_json(*step, explanation));
        text += explanation_text(*step, explanation);
    }
    if (flags.json)
        print_result(json_text(array));
    else
        print_result(text.empty() ? "every step was cached\n" : text);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "STEP", flags->step,
                 "A number of `shale builds show`, or a part of a step's name (default: every "
                 "step that was not cached)");
    add_value(app, "--build", flags->build, "ID", "The build to explain (default: the last)");
    add_value(app, "--against", flags->against, "BUILD",
              "Compare with this build: an ID, or a file that `shale builds export` wrote");
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& why_command() {
    static const Command command = {
        .name = "why",
        .group = "Build",
        .summary = "Say why a step was not in the cache",
        .usage = "[OPTIONS] [STEP]",
        .details =
            "Compares what a step read with what its earlier form read in the last build of the "
            "same "
            "Dockerfile and context where it succeeded: the files, by content, mode and owner, the "
            "arguments and variables, "
            "the text, the base image, the step that it follows. What differs is the cause, and "
            "nothing else is; where something would help, a hint says what.\n\n"
            "`shale build --explain` says it in one line while it builds.",
        .examples = {{"shale why", "Every step of the last build that ran again"},
                     {"shale why 4", "Only step 4"},
                     {"shale why --build ^1 --json", "The build before the last, for scripts"},
                     {"shale why --against ci.json",
                      "Why this machine did not come to the same keys as CI"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
