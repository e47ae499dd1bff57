// The operations of contents by digest: no directory but the root, no names but digests, no
// extended attributes. overlayfs looks up, opens and reads; it never lists.
#include "replies.hpp"

#include <sys/statvfs.h>

namespace shale::fuse {
namespace {

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    server(request).count_lookup();
    std::optional<mount::Attributes> found;
    if (mount::InodeId{parent} == mount::kRootInode)
        found = server(request).contents().lookup(name);
    reply_lookup(request, found);
}

void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
    reply_attributes(request, server(request).contents().attributes(mount::InodeId{inode}));
}

void read(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info*) {
    server(request).count_read();
    const auto buffer = read_buffer(size);
    const auto count = server(request).contents().fetch(mount::InodeId{inode},
                                                        static_cast<std::uint64_t>(offset), buffer);
    fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), count);
}

void readdir(fuse_req_t request, fuse_ino_t, std::size_t, off_t, fuse_file_info*) {
    fuse_reply_buf(request, nullptr, 0);
}

void no_xattr(fuse_req_t request, fuse_ino_t, const char*, std::size_t) {
    fuse_reply_err(request, ENOSYS);  // and the kernel never asks again
}

void no_xattrs(fuse_req_t request, fuse_ino_t, std::size_t) {
    fuse_reply_err(request, ENOSYS);
}

void statfs(fuse_req_t request, fuse_ino_t) {
    struct statvfs out {};
    out.f_bsize = out.f_frsize = 4096;
    out.f_namemax = 255;
    fuse_reply_statfs(request, &out);
}

}  // namespace

const fuse_lowlevel_ops& content_operations() {
    static const fuse_lowlevel_ops table = [] {
        fuse_lowlevel_ops ops{};
        ops.init = init;
        ops.lookup = guarded<lookup>;
        ops.forget = forget;
        ops.forget_multi = forget_multi;
        ops.getattr = guarded<getattr>;
        ops.open = open;
        ops.opendir = open;
        ops.read = guarded<read>;
        ops.readdir = readdir;
        ops.readdirplus = readdir;
        ops.getxattr = no_xattr;
        ops.listxattr = no_xattrs;
        ops.statfs = statfs;
        return ops;
    }();
    return table;
}

}  // namespace shale::fuse
