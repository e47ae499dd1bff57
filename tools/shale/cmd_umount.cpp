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

// The kernel names mounts by their real path. A dead mount cannot be resolved (ENOTCONN), the
// directory that holds it can.
std::string mount_path(std::string text) {
    char resolved[PATH_MAX];
    if (::realpath(text.c_str(), resolved)) return resolved;
    while (text.size() > 1 && text.ends_with('/'))
        text.pop_back();
    const auto slash = text.rfind('/');
    const auto parent = slash == std::string::npos ? "." : text.substr(0, slash + 1);
    if (!::realpath(parent.c_str(), resolved)) throw_errno("umount", text);
    return join_path(resolved, text.substr(slash + 1));  // npos + 1 is 0
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
    required(add_arguments(app, "DIR", flags->directories, "Where an image is mounted"));
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
