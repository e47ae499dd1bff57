// The table of commands.
#include "command.hpp"

#include <algorithm>

namespace shale::cli {

const Command& watch_command();  // cmd_watch.cpp

const std::vector<const Command*>& commands() {
    static const std::vector<const Command*> table = {
        &build_command(),       &builds_command(),     &why_command(),   &dockerfile_command(),
        &cache_mount_command(), &images_command(),     &pull_command(),  &push_command(),
        &login_command(),       &logout_command(),     &tag_command(),   &save_command(),
        &load_command(),        &rm_command(),         &prune_command(), &du_command(),
        &inspect_command(),     &history_command(),    &mount_command(), &umount_command(),
        &mounts_command(),      &commit_command(),     &cat_command(),   &cp_command(),
        &shell_command(),       &snapshot_command(),   &diff_command(),  &layer_command(),
        &apply_command(),       &watch_command(),      &bench_command(), &help_command(),
        &man_command(),         &completion_command(),
    };
    return table;
}

const Command* find_command(std::string_view name) {
    const auto& table = commands();
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const Command* command) { return command->name == name; });
    return found == table.end() ? nullptr : *found;
}

}  // namespace shale::cli
