// What both kinds of mount answer alike.
#include "replies.hpp"

#include <sys/sysmacros.h>

#include <algorithm>
#include <vector>

namespace shale::fuse {
namespace {

// Nothing that was said about a tree ever changes: a day is as good as for ever.
constexpr double kForever = 86400.0;

}  // namespace

void Server::report_failure(std::uint64_t inode, const char* what) {
    constexpr std::size_t kMostReported = 1000;
    bool is_last = false;
    {
        const std::lock_guard lock(failed_mutex_);
        if (failed_.size() > kMostReported || !failed_.insert(inode).second) return;
        is_last = failed_.size() > kMostReported;
    }
    log(LogLevel::Error, is_last ? "further files that cannot be read are not listed" : what);
}

int errno_of(const Error& error) {
    switch (error.kind()) {
    case ErrorKind::NotFound:
        return ENOENT;
    case ErrorKind::Denied:
        return EACCES;
    case ErrorKind::Invalid:
        return EINVAL;
    default:
        return EIO;
    }
}

struct stat stat_of(const mount::Attributes& attributes) {
    struct stat out {};
    out.st_ino = static_cast<ino_t>(attributes.inode);
    out.st_mode = mode_bits_of(attributes.type) | attributes.mode;
    out.st_nlink = attributes.nlink;
    out.st_uid = attributes.uid;
    out.st_gid = attributes.gid;
    out.st_size = static_cast<off_t>(attributes.size);
    out.st_blksize = 4096;
    out.st_blocks = static_cast<blkcnt_t>((attributes.size + 511) / 512);
    out.st_rdev = makedev(attributes.device_major, attributes.device_minor);
    out.st_mtim = out.st_ctim = out.st_atim = to_timespec(attributes.mtime_ns);
    return out;
}

fuse_entry_param entry_of(const mount::Attributes& attributes) {
    fuse_entry_param entry{};
    entry.ino = static_cast<fuse_ino_t>(attributes.inode);
    entry.attr = stat_of(attributes);
    entry.attr_timeout = entry.entry_timeout = kForever;
    return entry;
}

void reply_lookup(fuse_req_t request, const std::optional<mount::Attributes>& found) {
    fuse_entry_param entry{};
    entry.entry_timeout = kForever;  // number 0: the kernel remembers the absence
    if (found) entry = entry_of(*found);
    fuse_reply_entry(request, &entry);
}

void reply_attributes(fuse_req_t request, const std::optional<mount::Attributes>& attributes) {
    if (!attributes) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    const auto status = stat_of(*attributes);
    fuse_reply_attr(request, &status, kForever);
}

MutableBytes read_buffer(std::size_t size) {
    thread_local std::vector<std::byte> buffer;
    buffer.resize(std::min<std::size_t>(size, kMaxRead));
    return buffer;
}

void init(void*, fuse_conn_info* connection) {
    const auto want = [&](unsigned flag) {
        if (connection->capable & flag) connection->want |= flag;
    };
    want(FUSE_CAP_READDIRPLUS);
    want(FUSE_CAP_CACHE_SYMLINKS);
    want(FUSE_CAP_EXPORT_SUPPORT);  // overlayfs asks for file handles of its lower
    want(FUSE_CAP_EXPLICIT_INVAL_DATA);
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
    // Always plus: an entry is cheap for us, another request is not.
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO);
    connection->max_read = kMaxRead;
    connection->max_readahead = kMaxRead;
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    connection->time_gran = 1;
}

void forget(fuse_req_t request, fuse_ino_t, std::uint64_t) {
    fuse_reply_none(request);
}
void forget_multi(fuse_req_t request, std::size_t, fuse_forget_data*) {
    fuse_reply_none(request);
}

void open(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
    server(request).count_open();
    fuse_reply_err(request, ENOSYS);
}

}  // namespace shale::fuse
