// The mounts that decide what a path shows.
#pragma once

#include <string>

namespace shale::watch {

struct Mounts {
    // The lines of /proc/self/mountinfo whose mount point is at, above or below a directory. As
    // long as they are the same, the directory shows the same file systems.
    std::string around;
    bool any_below = false;
};
Mounts mounts_around(const std::string& directory);

}  // namespace shale::watch
