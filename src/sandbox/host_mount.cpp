// Mounts that this process makes for a run before the runtime starts.
#include <shale/sandbox.hpp>

#include <fmt/format.h>
#include <sys/mount.h>

#include <cerrno>

namespace shale::sandbox {

HostMount HostMount::bind(int fd, const std::string& target) {
    const std::string source = fmt::format("/proc/self/fd/{}", fd);
    if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0)
        throw_errno("binding a mount at", target);
    HostMount mount(target);
    // Mounts that come and go below it are not ours, and the container gets a copy anyway.
    ::mount(nullptr, target.c_str(), nullptr, MS_PRIVATE, nullptr);
    return mount;
}

HostMount HostMount::private_tmpfs(const std::string& target, std::uint64_t bytes) {
    constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV;
    const std::string options = fmt::format("mode=0700,size={}", bytes);
    // Linux 6.4 and later; older kernels refuse the word.
    if (::mount("tmpfs", target.c_str(), "tmpfs", kFlags, (options + ",noswap").c_str()) != 0 &&
        ::mount("tmpfs", target.c_str(), "tmpfs", kFlags, options.c_str()) != 0)
        throw_errno("mounting a tmpfs at", target);
    return HostMount(target);
}

HostMount::~HostMount() {
    if (target_.empty()) return;
    if (::umount2(target_.c_str(), UMOUNT_NOFOLLOW) != 0)
        ::umount2(target_.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
}

}  // namespace shale::sandbox
