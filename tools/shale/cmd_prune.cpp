// shale prune: disk space back, as docker's prune commands do it.
//
// What goes and what stays is the store's to say (src/store/collect.cpp); here are the flags, the
// question before it happens, and what is told about it.
#include "cache_records.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "workspace.hpp"

#include <shale/build_history.hpp>

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>

namespace shale::cli {

namespace {

constexpr std::chrono::seconds kPatience{10};

struct Flags {
    bool all = false, force = false, dry_run = false, json = false;
    std::vector<std::string> filters;
    std::string max_used, min_free, reserved;
};

std::optional<std::uint64_t> limit(const char* name, const std::string& text) {
    if (text.empty()) return std::nullopt;
    return parse_size_flag(name, text);
}

store::CollectOptions collect_options(const Flags& flags) {
    store::CollectOptions options;
    options.dry_run = flags.dry_run;
    options.unnamed_images = flags.filters.empty();
    options.max_used = limit("--max-used-space", flags.max_used);
    options.min_free = limit("--min-free-space", flags.min_free);
    options.reserved = limit("--reserved-space", flags.reserved);
    options.may_remove = [matches = parse_record_filters(flags.filters),
                          all = flags.all](const store::CacheRecord& record) {
        return (all || !record.shared) && matches(record);
    };
    return options;
}

// The history of builds goes with everything else, or as far as `until` says.
void forget_builds(const Flags& flags, store::Store& store) {
    const bool is_limited =
        !flags.max_used.empty() || !flags.min_free.empty() || !flags.reserved.empty();
    const bool only_age = std::ranges::all_of(
        flags.filters, [](const auto& filter) { return filter.starts_with("until="); });
    if (is_limited || !only_age || (flags.filters.empty() && !flags.all)) return;
    const auto matches = parse_record_filters(flags.filters);
    store::BuildHistory history(store);
    for (const auto& row : history.list()) {
        store::CacheRecord as_record;
        as_record.used_ns = row.started_ns;
        if (matches(as_record)) history.forget(row.id);
    }
}

// Whether the person at the terminal agrees.
bool is_confirmed(const Flags& flags) {
    if (flags.force || flags.dry_run) return true;
    std::cerr << "This removes images without a name and "
              << (flags.all ? "all of the build cache" : "what of the build cache no image shares")
              << ", as far as the filters match.\nGo on? [y/N] " << std::flush;
    std::string answer;
    if (!std::getline(std::cin, answer) && !is_terminal(STDIN_FILENO))
        fail(ErrorKind::Invalid,
             "prune asks before it removes anything, and nobody can answer here; give --force");
    return answer == "y" || answer == "Y" || answer == "yes";
}

void print_json(const store::Collected& collected) {
    auto images = nlohmann::ordered_json::array();
    for (const auto& image : collected.images)
        images.push_back(image.digest.str());
    const nlohmann::ordered_json json = {{"records", records_json(collected.records)},
                                         {"images", std::move(images)},
                                         {"files", collected.files},
                                         {"bytes", collected.bytes},
                                         {"left", collected.left}};
    print_result(json_text(json));
}

int run(const Flags& flags, Workspace& workspace) {
    // What an ordinary user's builds cached belongs to his subordinate IDs, too.
    if (::geteuid() != 0) workspace.enter_namespaces();
    const auto options = collect_options(flags);
    if (!is_confirmed(flags)) return kOk;
    const auto collected = workspace.store().collect(options, kPatience);
    if (!flags.dry_run) forget_builds(flags, workspace.store());
    if (flags.json) {
        print_json(collected);
        return kOk;
    }
    if (!collected.records.empty()) print_result(render_records(collected.records) + "\n");
    for (const auto& image : collected.images)
        print_result((flags.dry_run ? "would remove image: " : "removed image: ") +
                     image.digest.str() + "\n");
    print_result(std::string(flags.dry_run ? "Would free: " : "Freed: ") +
                 format_size(collected.bytes) + ", left: " + format_size(collected.left) + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_switch(app, "-a,--all", flags->all, "Also results whose layers images share");
    add_values(
        app, "--filter", flags->filters, "FILTER",
        "Only records that match: until=24h, id=PREFIX, description~=REGEX, type=exec.cachemount, "
        "shared, private");
    add_value(app, "--max-used-space", flags->max_used, "SIZE",
              "Remove only until the store takes no more than this");
    add_value(app, "--min-free-space", flags->min_free, "SIZE",
              "Remove only until this much of the disk is free");
    add_value(app, "--reserved-space", flags->reserved, "SIZE",
              "Stop when the store takes no more than this");
    add_value(app, "--keep-storage", flags->reserved, "SIZE", "Old name of --reserved-space");
    add_switch(app, "-f,--force", flags->force, "Do not ask");
    add_switch(app, "--dry-run", flags->dry_run, "Say what would go, remove nothing");
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& prune_command() {
    static const Command command = {
        .name = "prune",
        .group = "Images",
        .summary = "Free disk space",
        .usage = "[OPTIONS]",
        .details =
            "Removes files that nothing refers to, images without a name, cache mounts, git "
            "mirrors, unpacked steps, "
            "and results of the build cache whose layers no image has. Named images stay; `shale "
            "rm` "
            "takes names away.\n\n"
            "With a limit, results go only until it holds: first those that are cheapest to make "
            "again for the bytes they take and that nobody used for long. One that another "
            "result stands on stays as long as that. With --all, or as far as a filter until= "
            "alone says, `shale builds` forgets builds, too.\n\n"
            "Mounts do not mind. Builds, pulls and shells that are under way do: prune waits some "
            "seconds for them and then says which process it is.",
        .examples = {{"shale prune --dry-run", "What would go"},
                     {"shale prune -f --max-used-space 20GB", "For a cron job"},
                     {"shale prune -f --filter until=168h", "What nobody used for a week"},
                     {"shale prune -f --filter type=exec.cachemount", "Cache mounts only"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
