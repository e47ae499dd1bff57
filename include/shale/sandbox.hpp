// sandbox: runs one command in a root file system through an OCI runtime (crun or runc), isolated as
// Docker isolates by default: own pid, mount, ipc, uts and cgroup namespaces, Docker's default
// capability set and seccomp profile, masked and read-only /proc paths. Knows no Dockerfiles.
//
// Thread-safe: several runs may go on at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <shale/base.hpp>

namespace shale::sandbox {

enum class Network {
    Private,  // own namespace; outbound connections through slirp4netns where installed
    None,     // own namespace, loopback only
    Host,
};
Network parse_network(std::string_view name);  // "default", "none", "host"; Invalid otherwise

struct BindMount {
    std::string source;  // host path
    std::string target;  // absolute path in the root file system
    bool read_only = true;
};

struct Spec {
    std::string root;  // directory to become "/"; its mount points must exist or be creatable
    std::vector<std::string> argv;
    std::vector<std::string> env;  // "K=V"
    std::string cwd = "/";
    std::uint32_t uid = 0, gid = 0;
    std::vector<std::uint32_t> additional_gids;
    std::string hostname = "shale";
    Network network = Network::Private;
    std::vector<BindMount> mounts;
    std::uint64_t shm_bytes = 64ull << 20;
    bool terminal = false;  // inherit the caller's terminal and standard input (shale shell)
};

enum class OutputStream { Stdout, Stderr };
// Called from one thread at a time with whatever arrived.
using OnOutput = std::function<void(OutputStream, std::string_view)>;

struct Result {
    int exit_code = 0;  // 128 + signal if killed
    // Set when the command could not be started at all (no such file in the image, ...).
    std::string start_error;
};

class Runtime {
  public:
    // Tries crun, then runc, by really running a trivial container; takes the first that works.
    // $SHALE_RUNTIME names one to use instead. Unsupported, listing what was tried and why each
    // failed, if none works.
    static Runtime probe(const std::string& state_directory);
    Runtime(Runtime&&) noexcept;
    ~Runtime();
    const std::string& name() const;         // "runc 1.1.5"
    const std::string& explanation() const;  // "crun 1.8.1: refuses hybrid cgroups; using runc"

    // Blocks until the command ends; a stop request kills it (SIGKILL to its pid 1). Leaves no
    // process, mount or cgroup behind on any path.
    Result run(const Spec& spec, const OnOutput& output, std::stop_token stop = {});

  private:
    struct State;
    explicit Runtime(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// Paths that runs bind-mount or mount over and that must therefore exist in the root: "dev", "proc",
// "sys", "etc/hosts", "etc/resolv.conf", ...; trailing '/' marks directories.
const std::vector<std::string>& mount_points();

// An overlayfs of `lowers` (topmost first) under `upper`. Unmounts at destruction.
class OverlayMount {
  public:
    OverlayMount(const std::vector<std::string>& lowers, const std::string& upper,
                 const std::string& work, const std::string& target);
    OverlayMount(OverlayMount&&) noexcept;
    ~OverlayMount();
    void unmount();  // throws if it cannot

  private:
    std::string target_;
};

}  // namespace shale::sandbox
