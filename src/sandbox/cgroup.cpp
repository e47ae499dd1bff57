// Making and removing control groups by hand: mkdir, a few writes, rmdir.
#include "cgroup.hpp"

#include "devices.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace shale::sandbox {

namespace {

void write_line(const std::string& path, const std::string& text) {
    const UniqueFd fd = open_file(path, O_WRONLY);
    write_all(fd.get(), as_bytes(text), path);
}

void limit_devices(const std::string& directory, const Spec& spec) {
    if (spec.privileged) return;
    write_line(join_path(directory, "devices.deny"), "a");
    const std::string allow = join_path(directory, "devices.allow");
    write_line(allow, "c *:* m");
    write_line(allow, "b *:* m");
    for (const DeviceRule& device : openable_devices())
        write_line(allow, device.minor_number < 0 ? fmt::format("c {}:* rwm", device.major_number)
                                                  : fmt::format("c {}:{} rwm", device.major_number,
                                                                device.minor_number));
    for (const Device& device : spec.devices)
        write_line(allow,
                   fmt::format("{} {}:{} {}", device.is_block ? 'b' : 'c', device.major_number,
                               device.minor_number, device.permissions));
}

void limit_memory(const std::string& directory, const Resources& wanted) {
    if (wanted.memory_bytes != 0)
        write_line(join_path(directory, "memory.limit_in_bytes"),
                   std::to_string(wanted.memory_bytes));
    if (wanted.memory_swap_bytes == 0) return;
    const std::string swap = join_path(directory, "memory.memsw.limit_in_bytes");
    if (!path_exists(swap)) fail(ErrorKind::Unsupported, "this kernel does not account for swap");
    write_line(swap, std::to_string(wanted.memory_swap_bytes));
}

void limit_cpu(const std::string& directory, const Resources& wanted) {
    if (wanted.cpu_shares != 0)
        write_line(join_path(directory, "cpu.shares"), std::to_string(wanted.cpu_shares));
    if (wanted.cpu_period_us != 0)
        write_line(join_path(directory, "cpu.cfs_period_us"), std::to_string(wanted.cpu_period_us));
    if (wanted.cpu_quota_us != 0)
        write_line(join_path(directory, "cpu.cfs_quota_us"), std::to_string(wanted.cpu_quota_us));
}

// The runtime waits in the same group, and is not what the limit is about.
void limit_processes(const std::string& directory, const Resources& wanted) {
    if (wanted.processes != 0)
        write_line(join_path(directory, "pids.max"), std::to_string(wanted.processes + 1));
}

// A new v1 group starts without processors and memory and nobody may join it like that.
void limit_cpuset(const std::string& parent, const std::string& directory, const std::string& cpus,
                  const std::string& memory_nodes) {
    const auto set = [&](const char* name, const std::string& wanted) {
        const std::string value = wanted.empty() ? read_file(join_path(parent, name)) : wanted;
        write_line(join_path(directory, name), value);
    };
    set("cpuset.cpus", cpus);
    set("cpuset.mems", memory_nodes);
}

std::string parent_of(const std::string& path) {
    return path.substr(0, path.rfind('/'));
}

// "/a/b/c": "/a", "/a/b".
std::vector<std::string> ancestors(const std::string& path) {
    std::vector<std::string> list;
    for (auto slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1))
        list.push_back(path.substr(0, slash));
    return list;
}

std::vector<const char*> needed_controllers(const Resources& limits) {
    std::vector<const char*> names;
    if (limits.memory_bytes || limits.memory_swap_bytes) names.push_back("memory");
    if (limits.cpu_shares || limits.cpu_period_us || limits.cpu_quota_us) names.push_back("cpu");
    if (!limits.cpus.empty() || !limits.memory_nodes.empty()) names.push_back("cpuset");
    if (limits.processes) names.push_back("pids");
    return names;
}

bool is_wanted(const MountEntry& hierarchy, const std::string& parent, const Spec& spec) {
    if (hierarchy.type == "cgroup2")  // hybrid machines: no controllers, yet a parent may have been
        return !parent.empty() && path_exists(join_path(hierarchy.target, parent));
    if (has_option(hierarchy, "devices")) return true;
    for (const char* controller : needed_controllers(spec.resources))
        if (has_option(hierarchy, controller)) return true;
    return !parent.empty() && path_exists(join_path(hierarchy.target, parent));
}

bool is_v1_of(const MountEntry& hierarchy, const std::string& controller) {
    return hierarchy.type == "cgroup" && has_option(hierarchy, controller);
}

bool has_controller(const std::vector<MountEntry>& mounts, const std::string& name) {
    for (const MountEntry& hierarchy : mounts) {
        if (is_v1_of(hierarchy, name)) return true;
        if (hierarchy.type != "cgroup2") continue;
        const std::string list = join_path(hierarchy.target, "cgroup.controllers");
        if (!path_exists(list)) continue;
        std::string names = " " + read_file(list);
        for (char& c : names)
            if (c == '\n') c = ' ';
        if (names.find(" " + name + " ") != std::string::npos) return true;
    }
    return false;
}

}  // namespace

std::string cgroup_path(const std::string& parent, const std::string& name) {
    return clean_absolute_path(parent + "/" + name);
}

OwnCgroups::OwnCgroups(const std::vector<MountEntry>& mounts, const std::string& path,
                       const Spec& spec) {
    try {
        make(mounts, path, spec);
    } catch (...) {  // a constructor that throws gets no destructor
        remove();
        throw;
    }
}

OwnCgroups::~OwnCgroups() {
    remove();
}

void OwnCgroups::make(const std::vector<MountEntry>& mounts, const std::string& path,
                      const Spec& spec) {
    const Resources& limits = spec.resources;
    for (const MountEntry& hierarchy : mounts) {
        if (!hierarchy.type.starts_with("cgroup")) continue;
        if (!is_wanted(hierarchy, parent_of(path), spec)) continue;
        for (const std::string& ancestor : ancestors(path)) {
            const std::string directory = join_path(hierarchy.target, ancestor);
            if (::mkdir(directory.c_str(), 0755) == 0)
                directories_.push_back(directory);
            else if (errno != EEXIST)
                throw_errno("mkdir", directory);
            else
                continue;
            if (has_option(hierarchy, "cpuset"))
                limit_cpuset(parent_of(directory), directory, {}, {});
        }
        const std::string directory = join_path(hierarchy.target, path);
        if (::mkdir(directory.c_str(), 0755) != 0) throw_errno("mkdir", directory);
        directories_.push_back(directory);
        if (has_option(hierarchy, "devices")) limit_devices(directory, spec);
        if (has_option(hierarchy, "cpu")) limit_cpu(directory, limits);
        if (has_option(hierarchy, "pids")) limit_processes(directory, limits);
        if (has_option(hierarchy, "cpuset"))
            limit_cpuset(parent_of(directory), directory, limits.cpus, limits.memory_nodes);
        if (has_option(hierarchy, "memory")) {
            limit_memory(directory, limits);
            memory_directory_ = directory;
        }
        const bool is_v2 = hierarchy.type == "cgroup2";
        join_files_.push_back(join_path(directory, is_v2 ? "cgroup.procs" : "tasks"));
    }
    auto needed = needed_controllers(limits);
    needed.push_back("devices");
    for (const char* controller : needed)
        if (std::ranges::none_of(mounts, [&](const MountEntry& hierarchy) {
                return is_v1_of(hierarchy, controller);
            }))
            fail(ErrorKind::Unsupported,
                 fmt::format("no v1 {} cgroup hierarchy is mounted", controller));
}

void OwnCgroups::remove() {
    for (; !directories_.empty(); directories_.pop_back())
        ::rmdir(directories_.back().c_str());
}

bool OwnCgroups::ran_out_of_memory() const {
    if (memory_directory_.empty()) return false;
    const std::string text = read_file(join_path(memory_directory_, "memory.oom_control"));
    constexpr std::string_view kKey = "oom_kill ";
    const auto at = text.rfind(kKey);  // "oom_kill_disable 0" comes before it
    return at != std::string::npos && text.compare(at + kKey.size(), 1, "0") != 0;
}

void require_controllers(const std::vector<MountEntry>& mounts, const Resources& limits) {
    for (const char* controller : needed_controllers(limits))
        if (!has_controller(mounts, controller))
            fail(ErrorKind::Unsupported,
                 fmt::format("this machine has no {} controller of control groups, which a limit "
                             "that was asked for needs",
                             controller));
}

std::vector<std::string> missing_parents(const std::vector<MountEntry>& mounts,
                                         const std::string& path) {
    std::vector<std::string> missing;
    for (const MountEntry& mount : mounts) {
        if (!mount.type.starts_with("cgroup")) continue;
        for (const std::string& ancestor : ancestors(path))
            if (const auto directory = join_path(mount.target, ancestor); !path_exists(directory))
                missing.push_back(directory);
    }
    return missing;
}

bool remove_cgroups(const std::vector<MountEntry>& mounts, const std::string& path) noexcept {
    bool all_gone = true;
    for (const MountEntry& mount : mounts)
        if (mount.type.starts_with("cgroup"))
            all_gone &= ::rmdir(join_path(mount.target, path).c_str()) == 0 || errno != EBUSY;
    return all_gone;
}

}  // namespace shale::sandbox
