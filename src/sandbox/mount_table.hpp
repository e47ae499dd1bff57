// /proc/self/mountinfo as values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shale::sandbox {

struct MountEntry {
    std::string target;
    std::string type;     // "overlay", "fuse.shale", "cgroup", ...
    std::string options;  // of the superblock: "rw,devices"
};

std::vector<MountEntry> parse_mounts(std::string_view mountinfo);
std::vector<MountEntry> read_mounts();
bool has_option(const MountEntry& mount, std::string_view option);

// Targets of the overlay and FUSE mounts that a run does not need: all but those that hold one of
// `needed` (absolute paths). Outermost first. A private copy of the mount tree would keep them busy
// after their owner, another step, has unmounted them.
std::vector<std::string> foreign_mounts(const std::vector<MountEntry>& mounts,
                                        const std::vector<std::string>& needed);

}  // namespace shale::sandbox
