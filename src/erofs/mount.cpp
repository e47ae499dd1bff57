// Mounting an image without a place: through a file system context, by the descriptor of its file.
#include <shale/erofs.hpp>

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>

namespace shale::erofs {

UniqueFd mount_detached(int image_fd) {
    const UniqueFd context(::fsopen("erofs", FSOPEN_CLOEXEC));
    if (!context) {
        if (errno == ENODEV || errno == ENOSYS)
            fail(ErrorKind::Unsupported, "this kernel has no EROFS");
        throw_errno("fsopen", "erofs");
    }
    const auto source = "/proc/self/fd/" + std::to_string(image_fd);
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", source.c_str(), 0) != 0 ||
        ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        if (errno == ENOTBLK)  // it would take a block device only
            fail(ErrorKind::Unsupported, "this kernel mounts EROFS from block devices only");
        throw_errno("mounting an EROFS image");
    }
    UniqueFd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
    if (!mounted) throw_errno("fsmount", "erofs");
    return mounted;
}

}  // namespace shale::erofs
