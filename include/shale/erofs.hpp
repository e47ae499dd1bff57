// erofs: a tree as a read-only file system that the kernel reads by itself, without the contents.
//
// An image of the kernel's EROFS format that holds everything a tree says: names, owners, modes,
// times, links, devices, extended attributes. A regular file is a hole of the right size, marked
// for overlayfs: its bytes are those of the file content_name() in a data-only lower layer. Layout
// byte by byte: docs/formats/erofs.md.
//
// Functions are safe from any thread.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <string_view>

namespace shale::erofs {

// The image's bytes: whole blocks of 4096, the same for the same tree and prefix. Unsupported,
// naming the path, for what the format or overlayfs cannot show: a device 0:0 (to overlayfs a
// whiteout) or with numbers beyond 12 and 20 bits, an extended attribute outside user., trusted.,
// security. and the two POSIX ACLs, one of 65536 bytes.
//
// Attributes named trusted.overlay.* are escaped, so that overlayfs shows them as they are instead
// of obeying them: a tree cannot say where its files' bytes come from.
// `prefix` is what names of contents begin with.
std::string image_of(const snapshot::Tree& tree, std::string_view prefix);

// The name of a content in a data-only lower, relative to its root. overlayfs looks for it in every
// layer below the image: with a prefix that nobody can know before, nothing else has that name.
inline std::string content_name(const Digest& content, std::string_view prefix) {
    return std::string(prefix) + content.hex();
}

// Mounts an image for reading, attached nowhere: what is returned stands for the mount's root, as
// /proc/self/fd/N in a path does, and the mount is gone with its last user. The image's file may
// lose its name at once. set-id bits and devices work: whoever attaches it decides. Unsupported if
// the kernel does not know EROFS in plain files (before Linux 6.12).
UniqueFd mount_detached(int image_fd);

}  // namespace shale::erofs
