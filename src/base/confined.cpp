// The kernel resolves the name (openat2); nothing here looks at a link.
#include <shale/confined.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace shale {

std::optional<std::string> read_confined(const std::string& directory, const std::string& name,
                                         std::uint64_t limit) {
    const std::string path = join_path(directory, name);
    const UniqueFd root = open_file(directory, O_PATH | O_DIRECTORY);
    open_how how{};
    how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    int opened = -1;
    do  // EAGAIN: a rename went on meanwhile, and the kernel cannot vouch for ".." in the path
        opened =
            static_cast<int>(::syscall(SYS_openat2, root.get(), name.c_str(), &how, sizeof how));
    while (opened < 0 && (errno == EINTR || errno == EAGAIN));
    const UniqueFd fd(opened);
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
