// shale umount: ends a mount that `shale mount` made, and nothing else.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "mount_table.hpp"

#include <shale/base.hpp>

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> directories;
    bool lazy = false;
};

// The kernel names mounts by their real path; a dead mount cannot be resolved, so the text stays.
std::string mount_path(const std::string& text) {
    char resolved[PATH_MAX];
    return ::realpath(text.c_str(), resolved) ? resolved : clean_absolute_path(text);
}

void unmount(const std::string& text, bool lazy) {
    const auto target = mount_path(text);
    const auto mounts = shale_mounts();
    if (std::none_of(mounts.begin(), mounts.end(),
                     [&](const MountRow& row) { return row.target == target; }))
        fail(ErrorKind::NotFound,
             target + " is not a mount of shale; `shale mount` lists those there are");
    if (::umount2(target.c_str(), lazy ? MNT_DETACH : 0) == 0) return;
    if (errno == EBUSY)
        fail(ErrorKind::System, target + " is in use; close what uses it, or unmount with --lazy");
    throw_errno("umount", target);
}

int run(const Flags& flags) {
    for (const auto& directory : flags.directories)
        unmount(directory, flags.lazy);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_arguments(app, "DIR", flags->directories, "Where an image is mounted")->required();
    add_switch(app, "-l,--lazy", flags->lazy,
               "Detach now even if in use; it ends with its last user");
    return [flags](Workspace&) { return run(*flags); };
}

}  // namespace

const Command& umount_command() {
    static const Command command = {
        .name = "umount",
        .group = "Look inside",
        .summary = "Unmount what shale mount has mounted",
        .usage = "[OPTIONS] DIR...",
        .details =
            "Refuses directories that are not mounts of shale. The serving process ends by itself.",
        .examples = {{"shale umount /mnt", "After shale mount app:prod /mnt"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
