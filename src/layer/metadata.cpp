#include "metadata.hpp"

#include "reserved_xattrs.hpp"

#include <shale/caller.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

namespace shale::layer {

namespace {

std::string proc_path(int fd) {
    return fmt::format("/proc/self/fd/{}", fd);
}

bool is_machines_root() {
    static const bool is_one = is_root() && !in_user_namespace();
    return is_one;
}

bool may_be_left_undone(int error) {
    return !is_machines_root() && (error == EPERM || error == EACCES || error == ENOTSUP);
}

// Attributes that a layer can state; labels that the system puts on every file are not among them.
bool is_ours_to_remove(std::string_view name) {
    return name.starts_with("user.") || name.starts_with("trusted.") ||
           name.starts_with("system.posix_acl_") || name == "security.capability";
}

std::vector<std::string> list_xattrs(const std::string& proc, const std::string& path) {
    std::string names(256, '\0');
    while (true) {
        const ssize_t length = ::listxattr(proc.c_str(), names.data(), names.size());
        if (length >= 0) {
            names.resize(static_cast<std::size_t>(length));
            break;
        }
        if (errno == ENOTSUP) return {};
        if (errno != ERANGE) throw_errno("list extended attributes", path);
        names.resize(names.size() * 4);
    }
    std::vector<std::string> list;
    for (std::size_t at = 0; at < names.size(); at += list.back().size() + 1)
        list.emplace_back(names.c_str() + at);
    return list;
}

void set_xattrs(int fd, const tar::Member& member) {
    const std::string proc = proc_path(fd);
    const auto wanted = without_reserved(member.xattrs);
    for (const std::string& name : list_xattrs(proc, member.path)) {
        const bool keep = std::any_of(wanted.begin(), wanted.end(),
                                      [&](const Xattr& xattr) { return xattr.name == name; });
        if (keep || !is_ours_to_remove(name)) continue;
        if (::removexattr(proc.c_str(), name.c_str()) != 0 && errno != ENODATA &&
            !may_be_left_undone(errno))
            throw_errno("remove extended attribute " + name, member.path);
    }
    for (const Xattr& xattr : wanted)
        if (::setxattr(proc.c_str(), xattr.name.c_str(), xattr.value.data(), xattr.value.size(),
                       0) != 0 &&
            !may_be_left_undone(errno))
            throw_errno("set extended attribute " + xattr.name, member.path);
}

// A program that runs with its owner's rights must not run with those of whoever unpacked it.
std::uint32_t mode_of_another_owner(int fd, const tar::Member& member) {
    struct stat info {};
    if (::fstatat(fd, "", &info, AT_EMPTY_PATH) != 0) throw_errno("stat", member.path);
    std::uint32_t mode = member.mode;
    if (info.st_uid != member.uid) mode &= ~static_cast<std::uint32_t>(S_ISUID);
    if (info.st_gid != member.gid) mode &= ~static_cast<std::uint32_t>(S_ISGID);
    return mode;
}

}  // namespace

bool is_root() {
    return ::geteuid() == 0;
}

void set_metadata(int fd, const tar::Member& member, bool with_mode) {
    std::uint32_t mode = member.mode;
    if (::fchownat(fd, "", member.uid, member.gid, AT_EMPTY_PATH) != 0) {
        // EINVAL: an ID that means nobody in this user namespace.
        const bool is_nobody = errno == EINVAL && !is_machines_root();
        if (!is_nobody && !may_be_left_undone(errno)) throw_errno("chown", member.path);
        mode = mode_of_another_owner(fd, member);
    }
    if (with_mode && member.type != tar::MemberType::Symlink) set_mode(fd, mode, member.path);
    set_xattrs(fd, member);
}

void set_mode(int fd, std::uint32_t mode, const std::string& path) {
    if (::chmod(proc_path(fd).c_str(), mode) != 0) throw_errno("chmod", path);
}

void set_mtime(int directory, const std::string& name, std::int64_t mtime_ns,
               const std::string& path) {
    const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(mtime_ns)};
    if (::utimensat(directory, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        throw_errno("set time of", path);
}

void set_mtime(int fd, std::int64_t mtime_ns, const std::string& path) {
    const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(mtime_ns)};
    if (::utimensat(AT_FDCWD, proc_path(fd).c_str(), times, 0) != 0)
        throw_errno("set time of", path);
}

std::int64_t mtime_of(int fd) {
    struct stat info {};
    if (::fstatat(fd, "", &info, AT_EMPTY_PATH) != 0) throw_errno("stat");
    return to_ns(info.st_mtim);
}

}  // namespace shale::layer
