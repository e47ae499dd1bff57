// Making and removing control groups by hand: mkdir, a few writes, rmdir.
#include "cgroup.hpp"

#include "devices.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace shale::sandbox {

namespace {

const MountEntry* devices_hierarchy(const std::vector<MountEntry>& mounts) {
    for (const MountEntry& mount : mounts)
        if (mount.type == "cgroup" && has_option(mount, "devices")) return &mount;
    return nullptr;
}

void write_line(const std::string& path, const std::string& text) {
    const UniqueFd fd = open_file(path, O_WRONLY);
    write_all(fd.get(), as_bytes(text), path);
}

void limit_devices(const std::string& directory) {
    write_line(join_path(directory, "devices.deny"), "a");
    const std::string allow = join_path(directory, "devices.allow");
    write_line(allow, "c *:* m");
    write_line(allow, "b *:* m");
    for (const DeviceRule& device : openable_devices())
        write_line(allow, device.minor_number < 0 ? fmt::format("c {}:* rwm", device.major_number)
                                                  : fmt::format("c {}:{} rwm", device.major_number,
                                                                device.minor_number));
}

}  // namespace

DeviceCgroup::DeviceCgroup(const std::vector<MountEntry>& mounts, const std::string& name,
                           bool privileged) {
    const MountEntry* devices = devices_hierarchy(mounts);
    if (!devices) fail(ErrorKind::Unsupported, "no v1 devices cgroup hierarchy is mounted");
    const std::string directory = join_path(devices->target, name);
    if (::mkdir(directory.c_str(), 0755) != 0) throw_errno("mkdir", directory);
    try {
        if (!privileged) limit_devices(directory);
    } catch (...) {  // a constructor that throws gets no destructor
        ::rmdir(directory.c_str());
        throw;
    }
    directory_ = directory;
}

DeviceCgroup::~DeviceCgroup() {
    ::rmdir(directory_.c_str());
}

std::string DeviceCgroup::join_file() const {
    return join_path(directory_, "tasks");
}

void remove_cgroups(const std::vector<MountEntry>& mounts, const std::string& name) noexcept {
    for (const MountEntry& mount : mounts)
        if (mount.type.starts_with("cgroup")) ::rmdir(join_path(mount.target, name).c_str());
}

}  // namespace shale::sandbox
