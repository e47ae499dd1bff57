// Device nodes: which a step may open, and all that the host has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shale::sandbox {

// Character devices that a step may open; it may create any node (mknod) but open only these.
// minor_number -1 stands for every minor number.
struct DeviceRule {
    int major_number = 0, minor_number = 0;
};
const std::vector<DeviceRule>& openable_devices();

struct DeviceNode {
    std::string path;
    bool is_block = false;
    std::uint32_t major_number = 0, minor_number = 0, mode = 0, uid = 0, gid = 0;
};
// What lies in /dev, for privileged runs; terminals and the nodes that every container gets anyway
// are left out.
std::vector<DeviceNode> host_devices();

}  // namespace shale::sandbox
