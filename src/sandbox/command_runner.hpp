// The seam between deciding what to run and running it. Tests replace it to see the command line
// and the bundle without a runtime.
#pragma once

#include <shale/sandbox.hpp>

#include <stop_token>
#include <string>
#include <vector>

namespace shale::sandbox {

// A program to run as process 1 of its own pid namespace, in a private copy of the mount tree.
//
// That makes cleaning up the kernel's job: when the program ends or is killed, everything it
// started dies with it, and every mount that was made meanwhile is gone. If our own thread dies,
// the kernel kills the program.
struct Command {
    std::vector<std::string> argv;  // argv[0] is the absolute path of the program
    std::vector<std::string> env;
    // Mounts of other steps, not needed by this one, that the private copy would keep busy.
    std::vector<std::string> detach;
    std::vector<std::string> join_cgroups;  // files of cgroups to write "0" to
    int network_fd = -1;        // a network namespace to enter; -1 stays in the caller's
    bool only_cgroup2 = false;  // show the program a machine with nothing but the v2 hierarchy
    // Where that hierarchy is mounted already; empty mounts it anew.
    std::string cgroup2_at;
    // Whoever is not the machine's root may mount that only in a namespace of its own.
    bool own_cgroup_namespace = false;
    bool terminal = false;        // descriptors 0, 1, 2 of the caller instead of pipes
    bool standard_input = false;  // descriptor 0 of the caller instead of nothing
};

struct Exit {
    int code = 0;          // meaningful if signal == 0
    int signal = 0;        // that ended the program
    bool stopped = false;  // we killed it because stop was requested
};

class CommandRunner {
  public:
    virtual ~CommandRunner() = default;
    // Throws if the program could not be started.
    virtual Exit run(const Command& command, const OnOutput& output, std::stop_token stop) = 0;
};

CommandRunner& system_command_runner();

}  // namespace shale::sandbox
