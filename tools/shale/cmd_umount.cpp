// shale umount: ends a mount that `shale mount` made, and nothing else.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "mount_table.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> directories;
    bool lazy = false, all = false;
};

void unmount(const MountRow& mount, bool lazy) {
    const auto& target = mount.target;
    if (::umount2(target.c_str(), lazy ? MNT_DETACH : 0) != 0) {
        const int error = errno;
        if (error == EBUSY)
            fail(ErrorKind::System,
                 target + " is in use; close what uses it, or unmount with --lazy");
        if (error != EPERM || !unmount_through_fusermount(target, lazy))
            throw_errno(error, "umount", target);
    }
    // Who was killed could not take it back; of who lives, this touches nothing that is in use.
    if (mount.record) remove_remains(mount.device, *mount.record);
}

// The topmost mount at the directory.
MountRow find_mount(const std::string& text, const std::string& root) {
    const auto target = mount_path(text);
    auto mounts = shale_mounts(root);
    const auto found = std::find_if(mounts.rbegin(), mounts.rend(),
                                    [&](const MountRow& row) { return row.target == target; });
    if (found == mounts.rend())
        fail(ErrorKind::NotFound,
             target + " is not a mount of shale; `shale mounts` lists those there are");
    return *found;
}

// Every mount that reads this store; those of others are not ours to end.
int unmount_all(const std::string& root, bool lazy) {
    int status = kOk;
    auto mounts = shale_mounts(root);
    for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
        if (!mount->record || mount->record->root != root) continue;
        try {
            unmount(*mount, lazy);
        } catch (const Error& error) {  // one that is busy does not save the others
            print_error(error.what());
            status = kFailure;
        }
    }
    return status;
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.all != flags.directories.empty())
        fail(ErrorKind::Invalid, "umount needs directories, or --all");
    if (flags.all)
        return unmount_all(std::filesystem::absolute(workspace.root()).lexically_normal().string(),
                           flags.lazy);
    for (const auto& directory : flags.directories)
        unmount(find_mount(directory, workspace.root()), flags.lazy);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_arguments(app, "DIR", flags->directories, "Where something is mounted");
    add_switch(app, "--all", flags->all, "Every mount of this store");
    add_switch(app, "-l,--lazy", flags->lazy,
               "Detach now even if in use; it ends with its last user");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& umount_command() {
    static const Command command = {
        .name = "umount",
        .group = "Look inside",
        .summary = "Unmount what shale mount has mounted",
        .usage = "[OPTIONS] DIR...|--all",
        .details =
            "Refuses directories that are not mounts of shale. The serving process ends by itself; "
            "of a dead mount, what it left behind is cleared away, and with a mount made by --rw "
            "what was written to it; `shale commit` keeps that before.",
        .examples = {{"shale umount /mnt", "After shale mount app:prod /mnt"},
                     {"shale umount --all", "All mounts of this store"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
