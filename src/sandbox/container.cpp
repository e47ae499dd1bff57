// One container: a directory with config.json, the runtime's own state and its log; a network
// namespace; perhaps a cgroup; one contained command; and nothing left of any of it.
//
// Everything has an owner on this stack. Processes and mounts end with the contained command (see
// Command), the directory and the cgroups with their objects. If this process is killed, the kernel
// ends the processes and mounts; the directory stays, locked by nobody, and the next probe sweeps
// it together with the cgroup that bears its name.
#include "container.hpp"

#include "bundle.hpp"
#include "cgroup.hpp"
#include "limits.hpp"
#include "mount_table.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

namespace shale::sandbox {

namespace {

constexpr std::string_view kRunPrefix = "run-";
constexpr std::string_view kNewPrefix = "new-";            // until it is locked
constexpr std::string_view kParentFile = "cgroup-parent";  // for whoever has to clean up
constexpr int kNotFoundCode = 127, kNotStartedCode = 126;  // as a shell reports them
constexpr int kStoppedCode = 128 + SIGKILL;

// run-<pid>-XXXXXX names the directory, shale-<pid>-XXXXXX the container and its cgroup. (Of a
// directory that never got that name there is none.)
std::string container_name(const std::string& directory) {
    const auto slash = directory.rfind('/');
    return "shale-" + directory.substr(slash + 1 + kRunPrefix.size());
}

// Born under another name, so that whoever finds one of this name and no lock on it knows that its
// run is dead.
class LockedDirectory {
  public:
    explicit LockedDirectory(const std::string& parent) {
        TempDir made(parent, fmt::format("{}{}-", kNewPrefix, ::getpid()));
        lock_ = open_file(made.path(), O_RDONLY | O_DIRECTORY);
        if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) throw_errno("flock", made.path());
        auto name = made.path().substr(made.path().rfind('/') + 1 + kNewPrefix.size());
        path_ = join_path(parent, std::string(kRunPrefix) + name);
        if (::rename(made.path().c_str(), path_.c_str()) != 0) throw_errno("rename", path_);
        made.release();
    }
    LockedDirectory(const LockedDirectory&) = delete;
    ~LockedDirectory() { remove_tree(path_); }
    const std::string& path() const { return path_; }

  private:
    UniqueFd lock_;
    std::string path_;
};

// A run's directory, locked while the run lives. What is confidential lies on a tmpfs over it, so
// that no disk ever holds it, not even in a block that was freed.
class RunDirectory {
  public:
    RunDirectory(const std::string& parent, const Spec& spec) : directory_(parent) {
        if (!spec.cgroup_parent.empty()) write_file(kParentFile, spec.cgroup_parent);
        if (!spec.confidential) return;
        memory_.emplace(HostMount::private_tmpfs(path(), kMemoryBytes));
        // Who sees the mount must find it locked, too.
        memory_lock_ = open_file(path(), O_RDONLY | O_DIRECTORY);
        if (::flock(memory_lock_.get(), LOCK_EX | LOCK_NB) != 0) throw_errno("flock", path());
    }
    const std::string& path() const { return directory_.path(); }
    std::string name() const { return container_name(path()); }
    std::string file(std::string_view name) const { return join_path(path(), name); }
    void write_file(std::string_view name, std::string_view text) const {
        const UniqueFd fd = open_file(file(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
        write_all(fd.get(), as_bytes(text), file(name));
    }

  private:
    static constexpr std::uint64_t kMemoryBytes = 64ull << 20;  // a bundle and the runtime's copy

    LockedDirectory directory_;
    std::optional<HostMount> memory_;
    UniqueFd memory_lock_;  // closed first: it keeps the mount busy
};

// Keeps the runtime's own start error out of the command's output.
//
// A runtime that cannot start a container logs the reason and also prints it on stderr, in either
// order. The caller gets it as Result::start_error. The two usual messages, of a command that
// cannot be executed, are held back until more output shows that they were the command's own words,
// or the end shows that they were not. Rarer ones reach the caller twice.
class OutputFilter {
  public:
    OutputFilter(const OnOutput& output, std::string log_path)
        : output_(output), log_path_(std::move(log_path)) {}
    void operator()(OutputStream stream, std::string_view text) {
        stderr_only_ = stderr_only_ && stream == OutputStream::Stderr;
        const bool first = seen_.empty();
        if (seen_.size() < kLongestError) seen_.append(text);
        if (first && stderr_only_ && is_exec_error(text)) {
            held_ = text;
            return;
        }
        release();
        if (output_) output_(stream, text);
    }
    // The reason why the command was not started, or empty if it was. Call once, at the end.
    std::string finish() {
        const std::string error =
            path_exists(log_path_) ? first_logged_error(read_file(log_path_)) : std::string();
        const bool silent = seen_.empty() || (stderr_only_ && seen_ == error + "\n");
        if (!silent || error.empty()) {
            release();
            return {};
        }
        return error;
    }

  private:
    static constexpr std::size_t kLongestError = 16 << 10;

    static bool is_exec_error(std::string_view text) {
        return text.starts_with("executable file `") || text.starts_with("open executable: ") ||
               text.starts_with("runc run failed: ");
    }
    void release() {
        const std::string text = std::exchange(held_, {});
        if (!text.empty() && output_) output_(OutputStream::Stderr, text);
    }

    const OnOutput& output_;
    std::string log_path_;
    std::string seen_;  // the beginning of all output
    std::string held_;
    bool stderr_only_ = true;
};

std::vector<std::string> command_line(const Engine& engine, const RunDirectory& directory) {
    std::vector<std::string> argv{
        engine.program, "--root", directory.file("state"), "--log", directory.file("log"),
        "--log-format", "json"};
    if (engine.family == "crun")
        argv.push_back(engine.own_cgroup || engine.no_cgroup ? "--cgroup-manager=disabled"
                                                             : "--cgroup-manager=cgroupfs");
    argv.insert(argv.end(), {"run", "--bundle", directory.path(), directory.name()});
    return argv;
}

std::string real_path(const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
    return real ? std::string(real.get()) : path;
}

std::vector<std::string> needed_paths(const Engine& engine, const Host& host, const Spec& spec) {
    std::vector<std::string> paths{real_path(spec.root), real_path(host.state_directory),
                                   real_path(engine.program)};
    for (const BindMount& mount : spec.mounts)
        if (!mount.source.empty()) paths.push_back(real_path(mount.source));
    return paths;
}

// The cgroup of a run, whoever manages it.
class CgroupOwner {
  public:
    CgroupOwner(const Engine& engine, const std::vector<MountEntry>& mounts,
                const std::string& name, const Spec& spec)
        : mounts_(mounts), path_(cgroup_path(spec.cgroup_parent, name)) {
        is_managed_ = !engine.own_cgroup && !engine.no_cgroup;
        if (engine.own_cgroup) {
            ours_.emplace(mounts, path_, spec);
        } else if (is_managed_) {
            require_controllers(mounts, spec.resources);
            new_parents_ = missing_parents(mounts, path_);
        }
    }
    ~CgroupOwner() {
        if (!is_managed_) return;
        remove_cgroups(mounts_, path_);
        for (; !new_parents_.empty(); new_parents_.pop_back())
            ::rmdir(new_parents_.back().c_str());
    }
    CgroupOwner(const CgroupOwner&) = delete;
    std::vector<std::string> join_files() const {
        return ours_ ? ours_->join_files() : std::vector<std::string>();
    }
    std::string path_for_runtime() const { return is_managed_ ? path_ : std::string(); }
    bool ran_out_of_memory() const { return ours_ && ours_->ran_out_of_memory(); }

  private:
    const std::vector<MountEntry>& mounts_;
    std::string path_;
    bool is_managed_ = false;  // by the runtime
    std::vector<std::string> new_parents_;
    std::optional<OwnCgroups> ours_;
};

std::string cgroup2_of(const std::vector<MountEntry>& mounts) {
    const auto found = std::ranges::find(mounts, "cgroup2", &MountEntry::type);
    return found == mounts.end() ? std::string() : found->target;
}

// What only the machine's root can grant.
void check_for_user_namespace(const Spec& spec) {
    const auto refuse = [](const std::string& what, const std::string& why) {
        fail(ErrorKind::Unsupported, fmt::format("{} is not possible rootless: {}", what, why));
    };
    const bool is_limited = !(spec.resources == Resources());
    if (is_limited || !spec.cgroup_parent.empty())
        refuse(is_limited ? "a limit of memory, processors or processes" : "--cgroup-parent",
               "control groups are the machine's");
    for (const ProcessLimit& limit : spec.limits) {
        check_limit(limit);
        if (const auto most = most_of_limit(limit.name);
            most && static_cast<std::uint64_t>(limit.hard) > *most)
            refuse(fmt::format("--ulimit {}={}:{}", limit.name, limit.soft, limit.hard),
                   fmt::format("this user's hard limit is {}", *most));
    }
    // The runtime shows the host's node of the same name, since none can be made.
    for (const Device& device : spec.devices) {
        struct stat status {};
        if (::stat(device.path.c_str(), &status) != 0 ||
            S_ISBLK(status.st_mode) != device.is_block ||
            status.st_rdev != makedev(device.major_number, device.minor_number))
            refuse("device " + device.path,
                   "nodes cannot be made, and the host's of this name is another or missing");
    }
}

// The network of a run. Goes back to the pool at the end, unless the step was able to change it.
class RunNetwork {
  public:
    RunNetwork(NetworkPool& pool, const Spec& spec) : pool_(pool), reusable_(!spec.privileged) {
        if (spec.network == Network::Private && pool.can_connect())
            connected_ = pool.take();
        else if (spec.network != Network::Host)
            isolated_ = make_network_namespace();
    }
    ~RunNetwork() {
        if (connected_ && ready_ && reusable_) pool_.give_back(std::move(connected_));
    }
    RunNetwork(const RunNetwork&) = delete;
    // A descriptor to enter, -1 for the host's network.
    int wait_ready() {
        if (!connected_) return isolated_.get();
        connected_->helper.wait_ready();
        ready_ = true;
        return connected_->space.get();
    }

  private:
    NetworkPool& pool_;
    bool reusable_, ready_ = false;
    std::unique_ptr<ConnectedNetwork> connected_;
    UniqueFd isolated_;
};

Result to_result(const Engine& engine, const Spec& spec, const Exit& exit,
                 const std::string& error) {
    Result result;
    if (exit.stopped) {
        result.exit_code = kStoppedCode;
        return result;
    }
    if (exit.signal != 0)
        fail(ErrorKind::System, fmt::format("{} was killed by signal {}{}{}", engine.version,
                                            exit.signal, error.empty() ? "" : ": ", error));
    result.exit_code = exit.code;
    if (exit.code == 0 || error.empty()) return result;
    result.start_error = plain_start_error(error, spec.argv.front());
    const bool missing = result.start_error.find("not found in $PATH") != std::string::npos ||
                         result.start_error.find("no such file") != std::string::npos;
    result.exit_code = missing ? kNotFoundCode : kNotStartedCode;
    return result;
}

}  // namespace

Result run_container(const Engine& engine, const Host& host, const Spec& spec,
                     const OnOutput& output, std::stop_token stop) {
    if (engine.no_cgroup) check_for_user_namespace(spec);
    const RunDirectory directory(host.state_directory, spec);
    RunNetwork network(*host.networks, spec);
    const std::vector<MountEntry> mounts = read_mounts();
    const CgroupOwner cgroup(engine, mounts, directory.name(), spec);

    BundleOptions bundle{cgroup.path_for_runtime(), engine.seccomp_base64};
    bundle.in_user_namespace = engine.no_cgroup;
    winsize window{};
    if (spec.terminal && ::ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0) {
        bundle.console_rows = window.ws_row;
        bundle.console_columns = window.ws_col;
    }
    directory.write_file("config.json", make_config_json(spec, bundle));

    Command command;
    command.argv = command_line(engine, directory);
    command.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    command.detach = foreign_mounts(mounts, needed_paths(engine, host, spec));
    command.join_cgroups = cgroup.join_files();
    command.only_cgroup2 = engine.own_cgroup || engine.no_cgroup;
    command.own_cgroup_namespace = engine.no_cgroup;
    if (!command.own_cgroup_namespace) command.cgroup2_at = cgroup2_of(mounts);
    command.terminal = spec.terminal;
    command.standard_input = spec.standard_input;

    OutputFilter filter(output, directory.file("log"));
    command.network_fd = network.wait_ready();
    const Exit exit = host.commands->run(command, std::ref(filter), std::move(stop));
    const bool out_of_memory = !exit.stopped && cgroup.ran_out_of_memory();
    // The runtime waits in the same group and may have been the one to go.
    if (out_of_memory && exit.signal == SIGKILL) return {kStoppedCode, {}, true};
    auto result = to_result(engine, spec, exit, filter.finish());
    result.out_of_memory = out_of_memory && result.exit_code != 0;
    return result;
}

void sweep_dead_runs(const std::string& state_directory) {
    std::error_code ignored;
    std::vector<std::string> dead;
    for (const auto& entry : std::filesystem::directory_iterator(state_directory, ignored)) {
        const auto name = entry.path().filename().string();
        const bool is_new = name.starts_with(kNewPrefix);
        if (!is_new && !name.starts_with(kRunPrefix)) continue;
        const UniqueFd lock(
            ::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        // One that was made and not locked yet is younger than a minute.
        struct stat status {};
        if (!lock || ::fstat(lock.get(), &status) != 0) continue;
        if (is_new && system_clock().now_ns() - to_ns(status.st_mtim) < 60 * kNsPerSecond) continue;
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) dead.push_back(entry.path());
    }
    for (const std::string& directory : dead) {
        const std::string parent_file = join_path(directory, kParentFile);
        const std::string parent =
            path_exists(parent_file) ? read_file(parent_file) : std::string();
        // Its processes may still be dying. Without the directory nobody would find the groups.
        if (remove_cgroups(read_mounts(), cgroup_path(parent, container_name(directory))))
            remove_tree(directory);
    }
}

std::string first_logged_error(std::string_view log) {
    while (!log.empty()) {
        const auto end = log.find('\n');
        const auto line = nlohmann::json::parse(log.substr(0, end), nullptr, false);
        log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
        const auto text = [&line](const char* key) {
            return line.is_object() && line.contains(key) && line[key].is_string()
                       ? line[key].get<std::string>()
                       : std::string();
        };
        if (text("level") == "error") return text("msg");
    }
    return {};
}

std::string plain_start_error(std::string_view message, const std::string& command) {
    for (const std::string_view prefix :
         {"runc run failed: ", "unable to start container process: "})
        if (const auto at = message.find(prefix); at != std::string_view::npos)
            message.remove_prefix(at + prefix.size());
    // crun's words for the two ways in which an exec fails.
    if (message.starts_with("executable file `"))
        return command.find('/') == std::string::npos
                   ? fmt::format("exec: \"{}\": executable file not found in $PATH", command)
                   : fmt::format("exec: \"{0}\": stat {0}: no such file or directory", command);
    if (message.starts_with("open executable: "))
        return fmt::format("exec: \"{}\": permission denied", command);
    return std::string(message);
}

}  // namespace shale::sandbox
