// The kernel resolves the name (openat2); nothing here looks at a link.
#include <shale/confined.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace shale {

UniqueFd open_resolved(int directory, const std::string& path, std::uint64_t flags,
                       std::uint64_t resolve) {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
    long fd = -1;
    do
        fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return UniqueFd(static_cast<int>(fd));
}

std::optional<std::string> read_confined(const std::string& directory, const std::string& name,
                                         std::uint64_t limit) {
    const std::string path = join_path(directory, name);
    const UniqueFd root = open_file(directory, O_PATH | O_DIRECTORY);
    const UniqueFd fd =
        open_resolved(root.get(), name, O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_IN_ROOT);
    if (!fd) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        if (errno == ENXIO) fail(ErrorKind::Invalid, path + ": not a regular file");  // a socket
        throw_errno("open", path);
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_errno("fstat", path);
    if (!S_ISREG(status.st_mode)) fail(ErrorKind::Invalid, path + ": not a regular file");
    return read_file("/proc/self/fd/" + std::to_string(fd.get()), limit);
}

}  // namespace shale
