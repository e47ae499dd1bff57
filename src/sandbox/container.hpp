// One run of one container by a runtime known to work.
#pragma once

#include "command_runner.hpp"
#include "network.hpp"

#include <shale/sandbox.hpp>

#include <string>

namespace shale::sandbox {

// A runtime program together with how it has to be used on this machine.
struct Engine {
    std::string program;  // absolute path
    std::string family;   // "crun" or "runc": which command line and messages it has
    std::string version;  // "crun 1.8.1"
    // The program manages no cgroup and is shown only the v2 hierarchy; we limit devices ourselves.
    bool own_cgroup = false;
    std::string seccomp_base64;  // empty: the runtime compiles the rules
    // In a user namespace: control groups are the host's, and nobody needs to limit devices that
    // cannot be made. The container stays in the group that it is started in.
    bool no_cgroup = false;
};

struct Host {
    std::string state_directory;  // absolute
    NetworkPool* networks = nullptr;
    CommandRunner* commands = nullptr;
};

Result run_container(const Engine& engine, const Host& host, const Spec& spec,
                     const OnOutput& output, std::stop_token stop);

// Removes directories and cgroups of runs whose process was killed before it could.
void sweep_dead_runs(const std::string& state_directory);

// The first error in a runtime's JSON log, or empty.
std::string first_logged_error(std::string_view log);
// A runtime's reason for not starting `command`, in runc's words whoever said it.
std::string plain_start_error(std::string_view message, const std::string& command);

}  // namespace shale::sandbox
