// Flags of `shale build` about RUN: what its commands are lent, and what they are limited to.
#pragma once

#include <shale/build.hpp>

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace shale::cli {

struct RunFlags {
    std::vector<std::string> secrets, ssh, ulimits, resources;
    std::string shm_size, cgroup_parent;
    // The spellings of old docker.
    std::string memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems;
    std::string processors, processes, memory_budget;
};

void declare_run_flags(CLI::App& app, RunFlags& flags);
// Fills in the request. Invalid, naming the value, for what cannot be read.
void apply_run_flags(const RunFlags& flags, build::Request& request);

// The values of one flag each; public for tests.
build::SecretSource parse_secret(const std::string& text);
build::SshSource parse_ssh(const std::string& text);
sandbox::ProcessLimit parse_ulimit(const std::string& text);

}  // namespace shale::cli
