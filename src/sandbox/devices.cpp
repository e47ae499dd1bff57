#include "devices.hpp"

#include <shale/base.hpp>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>

namespace shale::sandbox {

namespace {

// Mount points inside /dev, and nodes that the runtime makes itself.
constexpr std::string_view kLeftOut[] = {"pts",  "shm",   "mqueue", "fd",    "console", "ptmx",
                                         "null", "zero",  "full",   "tty",   "random",  "urandom",
                                         "core", "stdin", "stdout", "stderr"};

}  // namespace

const std::vector<DeviceRule>& openable_devices() {
    static const std::vector<DeviceRule> devices = {
        {1, 3}, {1, 5}, {1, 7}, {1, 8},    {1, 9},  // null zero full random urandom
        {5, 0}, {5, 1}, {5, 2}, {136, -1},          // tty console ptmx, pseudo terminals
    };
    return devices;
}

std::vector<DeviceNode> host_devices() {
    namespace fs = std::filesystem;
    std::vector<DeviceNode> nodes;
    std::error_code ignored;  // nodes come and go; what vanishes is not there
    for (auto at = fs::recursive_directory_iterator("/dev", ignored);
         at != fs::recursive_directory_iterator(); at.increment(ignored)) {
        const std::string name = at->path().filename();
        if (at.depth() == 0 && std::ranges::find(kLeftOut, name) != std::end(kLeftOut)) {
            at.disable_recursion_pending();
            continue;
        }
        struct stat status {};
        if (::lstat(at->path().c_str(), &status) != 0) continue;
        if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)) continue;
        nodes.push_back({at->path(), S_ISBLK(status.st_mode), major(status.st_rdev),
                         minor(status.st_rdev), status.st_mode & 0777u, status.st_uid,
                         status.st_gid});
    }
    std::ranges::sort(nodes, {}, &DeviceNode::path);
    return nodes;
}

}  // namespace shale::sandbox
