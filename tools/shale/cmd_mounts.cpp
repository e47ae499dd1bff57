// shale mounts: what is mounted, and who serves it.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "mount_table.hpp"
#include "table.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>

#include <nlohmann/json.hpp>

#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    bool json = false;
};

// "dead" mounts answer ENOTCONN until they are unmounted.
const char* state_of(const MountRecord& record) {
    if (!record.is_served()) return "dead";
    return record.upper.empty() ? "ro" : "rw";
}

std::string render_table(const std::vector<MountRow>& rows) {
    Table table({"MOUNTED ON", "REFERENCE", "STATE", "TIER", "PID", "SINCE"});
    const auto now = system_clock().now_ns();
    for (const auto& row : rows) {
        const auto& record = row.record;
        table.add({row.target, row.source, record ? state_of(*record) : "-",
                   record ? record->tier : "-", record ? std::to_string(record->pid) : "-",
                   record ? format_age(now, record->since_ns) : "-"});
    }
    return table.str();
}

// What was written to a mount whose server was killed is still there.
void tell_of_remains(const std::vector<MountRow>& rows) {
    for (const auto& row : rows)
        if (row.record && !row.record->is_served() && !row.record->upper.empty())
            print_note("what was written to " + row.target + " lies in " + row.record->upper +
                       "; `shale commit` makes an image of it, `shale umount` removes it");
}

std::string render_json(const std::vector<MountRow>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        nlohmann::ordered_json item = {{"target", row.target}, {"reference", row.source}};
        if (const auto& record = row.record) {
            item["state"] = state_of(*record);
            item["tier"] = record->tier;
            if (!record->why.empty()) item["why"] = record->why;
            item["pid"] = record->pid;
            if (record->holder != 0) item["holder"] = record->holder;
            item["since"] = format_rfc3339(record->since_ns);
            item["root"] = record->root;
            if (!record->manifest.empty()) item["manifest"] = record->manifest;
            if (!record->upper.empty()) item["upper"] = record->upper;
        }
        list.push_back(std::move(item));
    }
    return json_text(list);
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) {
        const auto rows = shale_mounts(workspace.root());
        print_result(flags->json ? render_json(rows) : render_table(rows));
        tell_of_remains(rows);
        return int{kOk};
    };
}

}  // namespace

const Command& mounts_command() {
    static const Command command = {
        .name = "mounts",
        .group = "Look inside",
        .summary = "List what shale mount has mounted",
        .usage = "[OPTIONS]",
        .details =
            "STATE is ro, rw, or dead: the serving process was killed, and the one that would have "
            "another take its place, too, or there have been too many; everything in "
            "the mount fails with \"Transport endpoint is not connected\" until `shale "
            "umount` clears it away. What was written to a mount by --rw is kept until then, "
            "or until the machine is started again: `shale commit` still makes an image of "
            "it. A mount of another user shows \"-\". TIER is how it is served (`shale mount "
            "--tier`); --json has the reason, too.",
        .examples = {{"shale mounts", "What is mounted"},
                     {"shale mounts --json | jq -r '.[].target'", "For a script"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
