// shale du: what takes up the store's disk.
#include "cache_records.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "table.hpp"
#include "workspace.hpp"

#include <unistd.h>

#include <algorithm>
#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> filters;
    bool json = false;
};

std::string render_totals(const store::Usage& usage) {
    Table table({"", "SIZE", ""});
    table.add({"Images", format_size(usage.images), "only images refer to it"});
    table.add({"Build cache", format_size(usage.cache), "only results of steps refer to it"});
    table.add({"Shared", format_size(usage.shared), "of images and build cache"});
    table.add({"Cache mounts", format_size(usage.cache_mounts), "of RUN --mount=type=cache"});
    table.add({"Git mirrors", format_size(usage.mirrors), "of repositories that builds fetched"});
    table.add({"Unpacked steps", format_size(usage.unpacked), "files that RUNs stand on"});
    table.add({"Unreferenced", format_size(usage.unreferenced), "`shale prune` frees it"});
    table.add({"Other", format_size(usage.other), "database, stat cache, unfinished work"});
    table.add({"Total", format_size(usage.total()), ""});
    return table.str();
}

nlohmann::ordered_json totals_json(const store::Usage& usage) {
    return {{"images", usage.images},
            {"cache", usage.cache},
            {"shared", usage.shared},
            {"cacheMounts", usage.cache_mounts},
            {"gitMirrors", usage.mirrors},
            {"unpackedSteps", usage.unpacked},
            {"unreferenced", usage.unreferenced},
            {"other", usage.other},
            {"total", usage.total()}};
}

int run(const Flags& flags, Workspace& workspace) {
    // What an ordinary user's builds cached belongs to his subordinate IDs, too.
    if (::geteuid() != 0) workspace.enter_namespaces();
    const auto wanted = parse_record_filters(flags.filters);
    auto usage = workspace.store().usage();
    std::erase_if(usage.records, [&](const auto& record) { return !wanted(record); });
    if (flags.json) {
        auto json = totals_json(usage);
        json["records"] = records_json(usage.records);
        print_result(json_text(json));
        return kOk;
    }
    if (!usage.records.empty()) print_result(render_records(usage.records) + "\n");
    print_result(render_totals(usage));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_values(
        app, "--filter", flags->filters, "FILTER",
        "Only records that match: until=24h, id=PREFIX, description~=REGEX, type=exec.cachemount, "
        "shared, private");
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& du_command() {
    static const Command command = {
        .name = "du",
        .group = "Images",
        .summary = "Show what takes up the disk",
        .usage = "[OPTIONS]",
        .details =
            "Lists the results in the build cache, cache mounts, git mirrors and unpacked steps, "
            "last used first, and "
            "what images, cache and the rest take, in blocks on disk. A result is reclaimable, by "
            "`shale prune` without --all, unless an image has its layer or that of a result that "
            "stands on it; TOOK is what making it took, and would take again.",
        .examples = {{"shale du", "All of it"},
                     {"shale du --filter until=168h", "Results that nobody used for a week"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
