// Reading extended attributes relative to a directory descriptor.
//
// Linux has listxattrat(2) since 6.13. Before that the only way that neither opens the file nor
// resolves a path from the root is llistxattr("/proc/self/fd/<dir>/<name>"), which costs a walk
// through procfs. Both never follow a symbolic link in the last component.
//
// The kernel allocates as many bytes as it is offered, and clears them for a value, before it looks
// at the file: offering the 64 KiB that a list may have costs more than the whole call otherwise.
// So little is offered, which is enough nearly always, and all only to who says ERANGE.
#include "xattr.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

// The C library of Debian 12 does not know the two calls; their numbers are the same on all
// architectures.
#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#endif
#ifndef SYS_listxattrat
#define SYS_listxattrat 465
#endif

namespace shale::walk {

namespace {

// The kernel's own bounds (XATTR_LIST_MAX, XATTR_SIZE_MAX).
constexpr std::size_t kMaxBytes = 64 << 10;
constexpr std::size_t kUsualBytes = 256;

struct XattrArgs {  // struct xattr_args of linux/xattr.h
    std::uint64_t value;
    std::uint32_t size;
    std::uint32_t flags;
};

std::atomic<bool> kernel_has_xattrat{true};

std::string proc_path(int dir_fd, const char* name) {
    std::string path = "/proc/self/fd/" + std::to_string(dir_fd);
    if (*name) path.append("/").append(name);
    return path;
}

// With an empty name the directory itself is meant, and the link in /proc must be followed.
ssize_t list_through_proc(int dir_fd, const char* name, char* out, std::size_t size) {
    if (!*name) return ::flistxattr(dir_fd, out, size);
    return ::llistxattr(proc_path(dir_fd, name).c_str(), out, size);
}

ssize_t list(int dir_fd, const char* name, char* out, std::size_t size) {
    if (kernel_has_xattrat.load(std::memory_order_relaxed)) {
        const unsigned flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
        const long result = ::syscall(SYS_listxattrat, dir_fd, name, flags, out, size);
        if (result >= 0 || errno != ENOSYS) return result;
        kernel_has_xattrat = false;
    }
    return list_through_proc(dir_fd, name, out, size);
}

ssize_t get(int dir_fd, const char* name, const char* key, char* out, std::size_t size) {
    if (kernel_has_xattrat.load(std::memory_order_relaxed)) {
        const unsigned flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
        XattrArgs args{reinterpret_cast<std::uintptr_t>(out), static_cast<std::uint32_t>(size), 0};
        return ::syscall(SYS_getxattrat, dir_fd, name, flags, key, &args, sizeof args);
    }
    if (!*name) return ::fgetxattr(dir_fd, key, out, size);
    return ::lgetxattr(proc_path(dir_fd, name).c_str(), key, out, size);
}

bool is_gone(int error) {
    return error == ENOENT || error == ENODATA || error == ENOTDIR;
}

}  // namespace

std::vector<Xattr> XattrReader::read(int dir_fd, const char* name, std::uint64_t dev,
                                     const std::string& where) {
    std::vector<Xattr> xattrs;
    if (without_.contains(dev)) return xattrs;
    names_.resize(kMaxBytes);
    ++calls_;
    ssize_t listed = list(dir_fd, name, names_.data(), kUsualBytes);
    if (listed < 0 && errno == ERANGE) {
        ++calls_;
        listed = list(dir_fd, name, names_.data(), names_.size());
    }
    if (listed < 0 && errno == EOPNOTSUPP) without_.insert(dev);
    if (listed < 0 && (errno == EOPNOTSUPP || is_gone(errno))) return xattrs;
    if (listed < 0) throw_errno("listxattr", join_path(where, name));

    value_.resize(kMaxBytes);
    const char* const end = names_.data() + listed;
    for (const char* key = names_.data(); key < end; key += std::strlen(key) + 1) {
        if (keep_ && !keep_(key)) continue;
        ++calls_;
        ssize_t size = get(dir_fd, name, key, value_.data(), kUsualBytes);
        if (size < 0 && errno == ERANGE) {
            ++calls_;
            size = get(dir_fd, name, key, value_.data(), value_.size());
        }
        if (size < 0 && is_gone(errno)) continue;  // removed in between
        if (size < 0) throw_errno(std::string("getxattr ") + key, join_path(where, name));
        xattrs.push_back({key, std::string(value_.data(), static_cast<std::size_t>(size))});
    }
    std::sort(xattrs.begin(), xattrs.end());
    return xattrs;
}

}  // namespace shale::walk
