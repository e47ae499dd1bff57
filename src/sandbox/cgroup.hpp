// Control groups of one run.
#pragma once

#include "mount_table.hpp"

#include <string>
#include <vector>

namespace shale::sandbox {

// Device access limits for a runtime that manages no cgroups: a v1 "devices" group. Removed at
// destruction.
//
// A container has CAP_MKNOD; without this it could make a node for the host's disk and open it. So
// there is no container without it.
class DeviceCgroup {
  public:
    // Unsupported if this machine has no v1 devices hierarchy.
    DeviceCgroup(const std::vector<MountEntry>& mounts, const std::string& name, bool privileged);
    DeviceCgroup(const DeviceCgroup&) = delete;
    ~DeviceCgroup();
    // A single-threaded process joins by writing "0" here. The file is `tasks`, not `cgroup.procs`:
    // moving oneself as a thread spares the kernel a global lock, which costs an RCU grace period
    // (8 ms of a 10 ms container start when measured).
    std::string join_file() const;

  private:
    std::string directory_;
};

// Removes what a runtime that was killed left of the group /`name` in every hierarchy.
void remove_cgroups(const std::vector<MountEntry>& mounts, const std::string& name) noexcept;

}  // namespace shale::sandbox
