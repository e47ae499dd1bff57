// Control groups of one run.
#pragma once

#include "mount_table.hpp"

#include <shale/sandbox.hpp>

#include <string>
#include <utility>
#include <vector>

namespace shale::sandbox {

// Absolute in every hierarchy: "/build/shale-12-abc", clean.
std::string cgroup_path(const std::string& parent, const std::string& name);

// The groups of a run whose runtime manages none: a v1 "devices" group in any case, further ones
// where Spec::resources or Spec::cgroup_parent ask for them. Removed at destruction.
//
// A container has CAP_MKNOD; without the first it could make a node for the host's disk and open
// it. So there is no container without it.
class OwnCgroups {
  public:
    // Unsupported if this machine has no v1 hierarchy for something asked for.
    OwnCgroups(const std::vector<MountEntry>& mounts, const std::string& path, const Spec& spec);
    OwnCgroups(const OwnCgroups&) = delete;
    ~OwnCgroups();
    // A single-threaded process joins by writing "0" to each. For v1 the file is `tasks`, not
    // `cgroup.procs`: moving oneself as a thread spares the kernel a global lock, which costs an
    // RCU grace period (8 ms of a 10 ms container start when measured).
    const std::vector<std::string>& join_files() const { return join_files_; }
    // The kernel killed a process of these groups for want of memory.
    bool ran_out_of_memory() const;

  private:
    void make(const std::vector<MountEntry>& mounts, const std::string& path, const Spec& spec);
    void remove();

    std::vector<std::string> directories_;  // made, outermost first in each hierarchy
    std::vector<std::string> join_files_;
    std::string memory_directory_;
};

// Unsupported, naming it, if this machine has not every controller that the limits need, in either
// kind of hierarchy. For runtimes that manage the group themselves: what they say is harder to
// read.
void require_controllers(const std::vector<MountEntry>& mounts, const Resources& limits);

// Ancestors of /`path`, in all hierarchies, that do not exist, outermost first.
std::vector<std::string> missing_parents(const std::vector<MountEntry>& mounts,
                                         const std::string& path);

// Removes what a runtime that was killed left of the group `path` in every hierarchy. False if a
// group is still in use.
bool remove_cgroups(const std::vector<MountEntry>& mounts, const std::string& path) noexcept;

}  // namespace shale::sandbox
