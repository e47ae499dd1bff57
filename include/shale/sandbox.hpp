// sandbox: runs one command in a root file system through an OCI runtime (crun or runc), isolated
// as Docker isolates by default: own pid, mount, ipc, uts and cgroup namespaces, Docker's default
// capability set and seccomp profile, masked and read-only /proc paths. Knows no Dockerfiles.
//
// Thread-safe: several runs may go on at once.
#pragma once

#include <shale/base.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::sandbox {

enum class Network {
    Private,  // own namespace; outbound connections through slirp4netns where installed
    None,     // own namespace, loopback only
    Host,
};
Network parse_network(std::string_view name);  // "default", "none", "host"; Invalid otherwise

// One more mount inside the root file system. Mounts are made in the order given; the runtime
// creates missing targets (mount_points() is about those that every run has).
struct BindMount {
    std::string source;  // host path; empty for a fresh tmpfs
    std::string target;  // absolute path in the root file system, resolved inside it
    bool read_only = true;
    bool trusted = true;            // false: nosuid, nodev
    std::uint64_t tmpfs_bytes = 0;  // limit of a tmpfs; 0 is the kernel's default
    bool executable = true;         // false: noexec
};

// One process limit, by the name that setrlimit's constant has: "nofile". -1 is unlimited.
struct ProcessLimit {
    std::string name;
    std::int64_t soft = 0, hard = 0;
};
// Invalid if there is no such limit, or soft is above hard.
void check_limit(const ProcessLimit& limit);

// Limits of the control group of a run; 0 and "" set none.
struct Resources {
    std::int64_t memory_bytes = 0;
    std::int64_t memory_swap_bytes = 0;  // memory and swap together; -1: no limit
    std::uint64_t cpu_shares = 0;
    std::uint64_t cpu_period_us = 0;
    std::int64_t cpu_quota_us = 0;   // of each period; -1: no limit
    std::string cpus, memory_nodes;  // "0-2,5"
    std::int64_t processes = 0;      // with their threads

    bool operator==(const Resources&) const = default;
};

// A device node made in /dev and allowed to be opened.
struct Device {
    std::string path;  // in the container
    bool is_block = false;
    std::uint32_t major_number = 0, minor_number = 0, mode = 0600, uid = 0, gid = 0;
    std::string permissions = "rwm";  // what the control group admits
};

// A program of the host that the runtime calls at a moment in the life of a container.
struct Hook {
    std::string moment;  // "createContainer", ... as the OCI runtime specification names them
    std::string path;
    std::vector<std::string> args, env;
    int timeout_seconds = 0;
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
    bool terminal = false;        // inherit the caller's terminal and standard input (shale shell)
    bool standard_input = false;  // without a terminal: the caller's input instead of nothing
    // Every capability, no system-call filter, no masked paths, all devices (--security=insecure).
    bool privileged = false;
    // `env` holds secrets: what is written for the runtime then lies in memory (a tmpfs) only.
    bool confidential = false;
    std::vector<ProcessLimit> limits;
    Resources resources;
    std::string cgroup_parent;  // the run's group is made below it; "" is the root
    std::vector<Device> devices;
    std::vector<Hook> hooks;
};

enum class OutputStream { Stdout, Stderr };
// Called from one thread at a time with whatever arrived.
using OnOutput = std::function<void(OutputStream, std::string_view)>;

struct Result {
    int exit_code = 0;  // 128 + signal if killed; 137 after a stop request
    // Set when the command could not be started at all (no such file in the image, ...).
    std::string start_error;
    bool out_of_memory = false;  // the kernel killed one of its processes for Resources::memory
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
    // Empty if Network::Private can reach out; otherwise why it is loopback only.
    const std::string& network_note() const;

    // Blocks until the command ends; a stop request kills it (SIGKILL to its pid 1). Leaves no
    // process, mount or cgroup behind on any path.
    Result run(const Spec& spec, const OnOutput& output, std::stop_token stop = {});

  private:
    struct State;
    explicit Runtime(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// Paths that runs bind-mount or mount over and that must therefore exist in the root: "dev",
// "proc", "sys", "etc/hosts", "etc/resolv.conf", ...; trailing '/' marks directories.
const std::vector<std::string>& mount_points();

// Contents for /etc/resolv.conf and /etc/hosts of a run; callers put them into Spec::mounts.
//
// Private networks cannot reach the host's loopback, so nameservers there (systemd-resolved,
// dnsmasq) give way to slirp4netns' forwarder 10.0.2.3. Without a readable /etc/resolv.conf of the
// host only that forwarder is named (Private) or nothing (None, Host).
std::string default_resolv_conf(Network network);
std::string default_hosts(const std::string& hostname);

// Moves this process into a mount namespace of its own, in which new mounts stay and to which the
// host's later ones still come: whatever kills the process, the kernel then takes its mounts down.
// Call it before the first thread starts. False, changing nothing, where that is not permitted.
bool enter_private_mounts() noexcept;

// Whether the overlays of this process keep their marks in user.overlay.* (userxattr): only the
// machine's root may set trusted.overlay.*.
bool overlays_mark_for_users();

// What an overlayfs stands on. A path may be /proc/self/fd/N, N standing for a mount without a
// place.
struct OverlayBase {
    std::vector<std::string> lowers;  // topmost first
    // Data-only layers (Linux 6.7): seen only through redirects of lowers in front of them. Without
    // OverlayLayers::notes, as of a metadata image, that takes 6.16 and exactly one lower.
    std::vector<std::string> data;
};

// What an overlayfs shows.
struct OverlayLayers : OverlayBase {
    std::string upper, work;  // empty: shown for reading
    std::string source = "overlay";
    bool allow_set_id_and_devices = true;
    // The upper may hold notes, see OverlayMount. Not in a user namespace.
    bool notes = false;
};

// Attached nowhere; gone with the last user of the descriptor. Options as OverlayMount's.
UniqueFd mount_overlay_detached(const OverlayLayers& layers);

// An overlayfs at `target`. Unmounts at destruction. Volatile: nothing is synced, a crash loses the
// upper. Index and xino are off. The upper holds whole files and plain directories, or, with
// `notes`, of files whose metadata changed and of directories that moved only that (metacopy,
// redirect): for whoever reads it with diff::merge_upper and takes contents from where they are.
class OverlayMount {
  public:
    OverlayMount(const std::vector<std::string>& lowers, const std::string& upper,
                 const std::string& work, const std::string& target, bool notes = false);
    OverlayMount(const OverlayLayers& layers, const std::string& target);
    OverlayMount(OverlayMount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
    ~OverlayMount();                    // detaches lazily if busy
    void unmount();                     // throws if it cannot
    void forget() { target_.clear(); }  // somebody else has unmounted it

  private:
    std::string target_;
};

// A mount of this process's own making, for showing it in a run. Unmounts at destruction.
class HostMount {
  public:
    // Binds what `fd` refers to, whatever becomes of its name; `target` must be a directory for a
    // directory and a file for anything else.
    static HostMount bind(int fd, const std::string& target);
    // A tmpfs of root's that does not swap where the kernel can do that.
    static HostMount private_tmpfs(const std::string& target, std::uint64_t bytes);
    HostMount(HostMount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
    HostMount& operator=(HostMount&&) = delete;
    ~HostMount();

  private:
    explicit HostMount(std::string target) : target_(std::move(target)) {}
    std::string target_;
};

// Listens on a socket in the file system and hands every connection on to another socket. For a
// run that may talk to an agent of its caller, without being shown the caller's own socket.
// Serves from a thread of its own until destruction, which closes all connections and removes
// the socket.
class SocketProxy {
  public:
    SocketProxy(const std::string& path, const std::string& upstream);
    SocketProxy(const SocketProxy&) = delete;
    ~SocketProxy();
    // Set before a run sees it.
    void dress(unsigned mode, std::uint32_t uid, std::uint32_t gid);
    std::size_t open_connections() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// An ssh-agent that holds the keys of some files. Needs OpenSSH's client programs; keys with a
// passphrase cannot be used. Ends with the object, or with the process.
class KeyAgent {
  public:
    explicit KeyAgent(const std::vector<std::string>& key_files);
    KeyAgent(const KeyAgent&) = delete;
    ~KeyAgent();
    const std::string& socket() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::sandbox
