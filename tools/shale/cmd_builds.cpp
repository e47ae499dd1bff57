// shale builds: the builds that ran, as docker buildx history shows them.
//
// Every action reads the same list, newest first, and picks from it; all but rm only print. JSON
// has times in RFC 3339 and sizes in bytes, tables have both as people read them.
#include "build_lookup.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "table.hpp"
#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Flags {
    std::vector<std::string> words, filters;
    bool json = false, all = false, no_trunc = false;
};

using Outcome = build::BuildRecord::Outcome;
constexpr Outcome kOutcomes[] = {Outcome::Completed, Outcome::Failed, Outcome::Cancelled};

// "status=failed", "context=TEXT", "target=NAME", "tag=NAME": all must hold.
bool matches(const build::BuildRecord& build, const std::string& filter) {
    const auto equals = filter.find('=');
    const auto key = filter.substr(0, equals);
    const auto value = equals == std::string::npos ? "" : filter.substr(equals + 1);
    if (key == "status") {
        if (std::ranges::none_of(kOutcomes,
                                 [&](const auto outcome) { return word(outcome) == value; }))
            fail(ErrorKind::Invalid,
                 "--filter " + filter + ": a build is completed, failed or cancelled");
        return word(build.outcome) == value;
    }
    if (key == "context") return build.context.find(value) != std::string::npos;
    if (key == "target") return build.target == value;
    if (key == "tag")
        return std::ranges::any_of(build.tags, [&](const auto& tag) {
            return tag == value || tag.ends_with("/" + value);
        });
    fail(ErrorKind::Invalid, "--filter " + filter + ": one of status=, context=, target=, tag=");
}

Json summary_json(const build::BuildRecord& build) {
    return {{"id", build.id},
            {"status", word(build.outcome)},
            {"name", build_name(build)},
            {"context", build.context},
            {"dockerfile", build.dockerfile},
            {"target", build.target},
            {"createdAt", format_rfc3339(build.started_ns)},
            {"completedAt", format_rfc3339(build.finished_ns)},
            {"steps", build.steps.size()},
            {"cachedSteps", build.cached_steps()},
            {"tags", build.tags},
            {"image", build.image},
            {"error", build.error}};
}

int list(const Flags& flags, const std::vector<build::BuildRecord>& builds) {
    std::vector<const build::BuildRecord*> wanted;
    for (const auto& build : builds)
        if (std::ranges::all_of(flags.filters,
                                [&](const auto& filter) { return matches(build, filter); }))
            wanted.push_back(&build);
    if (flags.json) {
        Json array = Json::array();
        for (const auto* build : wanted)
            array.push_back(summary_json(*build));
        print_result(json_text(array));
        return kOk;
    }
    Table table({"BUILD ID", "NAME", "STATUS", "CACHED", "CREATED", "DURATION"});
    const auto now = system_clock().now_ns();
    for (const auto* build : wanted)
        table.add({build->id, build_name(*build), std::string(word(build->outcome)),
                   fmt::format("{}/{}", build->cached_steps(), build->steps.size()),
                   format_age(now, build->started_ns),
                   format_seconds(build->finished_ns - build->started_ns)});
    print_result(table.str());
    return kOk;
}

Json step_json(const build::RecordedStep& step) {
    Json json = {{"number", step.number},
                 {"name", step.name},
                 {"stage", step.stage},
                 {"line", step.line},
                 {"status", word(step.state)},
                 {"startedAt", format_rfc3339(step.started_ns)},
                 {"completedAt", format_rfc3339(step.finished_ns)},
                 {"costMs", step.cost_ms},
                 {"key", step.key.str()}};
    if (!step.root.is_zero()) json["tree"] = step.tree.str();
    if (step.layer) {
        json["layer"] = step.layer->str();
        json["layerBytes"] = step.layer_bytes;
        json["tarBytes"] = step.tar_bytes;
        json["compressedBytes"] = step.compressed_bytes;
    }
    Json inputs = Json::array();
    for (const auto& input : step.inputs)
        inputs.push_back({{"name", input.name}, {"value", input.value}});
    json["inputs"] = std::move(inputs);
    if (!step.error.empty()) json["error"] = step.error;
    return json;
}

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
    Json json = Json::object();
    for (const auto& [name, value] : pairs)
        json[name] = value;
    return json;
}

std::string details_text(const build::BuildRecord& build, bool no_trunc) {
    constexpr std::size_t kNameColumns = 70;
    std::string out;
    const auto line = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) out += fmt::format("{:<12}{}\n", name, printable(value));
    };
    line("Build:", build.id);
    line("Status:", std::string(word(build.outcome)));
    line("Context:", build.context);
    line("Dockerfile:", build.dockerfile);
    line("Target:", build.target);
    line("Platforms:", build.platforms);
    for (const auto& [name, value] : build.arguments)
        line("Build arg:", name + "=" + value);
    line("Started:", format_rfc3339(build.started_ns));
    line("Duration:", format_seconds(build.finished_ns - build.started_ns));
    line("Steps:", fmt::format("{}, {} cached", build.steps.size(), build.cached_steps()));
    for (const auto& tag : build.tags)
        line("Tag:", tag);
    line("Image:", build.image);
    line("Error:", build.error);
    Table table({"STEP", "LINE", "STATUS", "TIME", "LAYER", "NAME"});
    for (const auto& step : build.steps)
        table.add({std::to_string(step.number), step.line ? std::to_string(step.line) : "-",
                   std::string(word(step.state)),
                   format_seconds(step.finished_ns - step.started_ns),
                   step.layer ? format_size(step.layer_bytes) : "-",
                   no_trunc ? step.name : fit(printable(step.name), kNameColumns)});
    return build.steps.empty() ? out : out + "\n" + table.str();
}

int show(const Flags& flags, const build::BuildRecord& build) {
    if (!flags.json) {
        print_result(details_text(build, flags.no_trunc));
        return kOk;
    }
    auto json = summary_json(build);
    json["stepCount"] = json["steps"];
    json["buildArgs"] = pairs_json(build.arguments);
    json["steps"] = Json::array();
    for (const auto& step : build.steps)
        json["steps"].push_back(step_json(step));
    print_result(json_text(json));
    return kOk;
}

int print_log(store::BuildHistory& history, const build::BuildRecord& build,
              const std::string& wanted) {
    std::vector<const build::RecordedStep*> steps;
    if (!wanted.empty())
        steps.push_back(&find_build_step(build, wanted));
    else
        for (const auto& step : build.steps)
            if (step.has_log) steps.push_back(&step);
    for (const auto* step : steps) {
        const auto text = history.log(build.id, step->number);
        if (wanted.empty())
            print_result(fmt::format("#{} {}\n", step->number, printable(step->name)));
        if (text)
            print_result(*text);
        else if (!wanted.empty())
            print_note(fmt::format("step {} printed nothing", step->number));
    }
    if (steps.empty()) print_note("no step of build " + build.id + " printed anything");
    return kOk;
}

int forget(const Flags& flags, store::BuildHistory& history,
           const std::vector<build::BuildRecord>& builds) {
    if (flags.all == (flags.words.size() > 1))
        fail(ErrorKind::Invalid, "builds rm needs IDs, or --all");
    std::vector<std::string> ids;
    for (std::size_t i = 1; i < flags.words.size(); ++i)
        ids.push_back(find_build(builds, flags.words[i]).id);
    if (flags.all)
        for (const auto& row : history.list())
            ids.push_back(row.id);
    for (const auto& id : ids)
        if (history.forget(id)) print_result(id + "\n");
    return kOk;
}

int run(const Flags& flags, Workspace& workspace) {
    store::BuildHistory history(workspace.store());
    const auto action = flags.words.empty() ? "ls" : flags.words[0];
    const auto argument = [&](std::size_t at) {
        return at < flags.words.size() ? flags.words[at] : std::string();
    };
    const auto builds = remembered_builds(history);
    const auto expect_at_most = [&](std::size_t count) {
        if (flags.words.size() > count)
            fail(ErrorKind::Invalid,
                 "builds " + action + ": unexpected \"" + flags.words[count] + "\"");
    };
    if (action == "rm") return forget(flags, history, builds);
    if (action == "ls") {
        expect_at_most(1);
        return list(flags, builds);
    }
    const auto& build = find_build(builds, argument(1).empty() ? "last" : argument(1));
    if (action == "show" || action == "inspect") {
        expect_at_most(2);
        return show(flags, build);
    }
    if (action == "log" || action == "logs") {
        expect_at_most(3);
        return print_log(history, build, argument(2));
    }
    if (action == "export") {
        expect_at_most(2);
        print_result(build::encode_for_export(build, tree_finder(history, workspace.store())));
        return kOk;
    }
    fail(ErrorKind::Invalid, "builds " + action + ": one of ls, show, log, export, rm");
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_arguments(app, "ACTION", flags->words,
                  "ls (default), show ID, log ID [STEP], export ID, rm ID...; ID is last, ^N, or "
                  "the beginning of one");
    add_values(app, "--filter", flags->filters, "FILTER",
               "ls: only builds with status=completed|failed|cancelled, context=TEXT, "
               "target=NAME, tag=NAME");
    add_switch(app, "--no-trunc", flags->no_trunc, "show: names of steps in full");
    add_switch(app, "-a,--all", flags->all, "rm: all of them");
    add_switch(app, "--json", flags->json, "ls, show: print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& builds_command() {
    static const Command command = {
        .name = "builds",
        .group = "Build",
        .summary = "Look back at the builds that ran",
        .usage = "[ls|show|log|export|rm] [OPTIONS] [ID] [STEP]",
        .details =
            "Every build is remembered: what it was given, its steps with their times, whether "
            "they were cached, and what each printed. The 200 latest stay, as long as they take "
            "no more than 256 MB; `shale prune` takes them with --all or --filter until=. Secrets "
            "are "
            "never in a record; values of arguments whose names speak of secrets are not shown.\n\n"
            "STEP is a number of `builds show`, or a part of a step's name. `show` and `log` take "
            "the last build if none is named. `inspect` and `logs`, as docker buildx history "
            "calls them, work too.",
        .examples = {{"shale builds", "The builds that ran, newest first"},
                     {"shale builds show last", "What the last one did"},
                     {"shale builds log last 4", "All that step 4 of it printed"},
                     {"shale builds --filter status=failed --json", "For scripts"},
                     {"shale builds export last > ci.json",
                      "For `shale why --against ci.json` on another machine"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
