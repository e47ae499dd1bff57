// Replies and operations that both kinds of mount have.
#pragma once

#include "operations.hpp"

#include <cerrno>
#include <optional>

namespace shale::fuse {

inline Server& server(fuse_req_t request) {
    return *static_cast<Server*>(fuse_req_userdata(request));
}

int errno_of(const Error& error);
struct stat stat_of(const mount::Attributes& attributes);
fuse_entry_param entry_of(const mount::Attributes& attributes);
// Without attributes: that the name is absent, which the kernel then remembers.
void reply_lookup(fuse_req_t request, const std::optional<mount::Attributes>& found);
void reply_attributes(fuse_req_t request, const std::optional<mount::Attributes>& attributes);
// This thread's, for one reply.
MutableBytes read_buffer(std::size_t size);

void init(void*, fuse_conn_info* connection);
void forget(fuse_req_t request, fuse_ino_t, std::uint64_t);
void forget_multi(fuse_req_t request, std::size_t, fuse_forget_data*);
void open(fuse_req_t request, fuse_ino_t, fuse_file_info*);

// The boundary to C: no exception may pass it. Every operation replies as its last act, so one that
// throws has not replied.
template <auto kOperation, typename... Arguments>
void guarded(fuse_req_t request, fuse_ino_t inode, Arguments... arguments) {
    try {
        kOperation(request, inode, arguments...);
    } catch (const Error& error) {
        server(request).report_failure(inode, error.what());
        fuse_reply_err(request, errno_of(error) == ENOENT ? EIO : errno_of(error));
    } catch (const std::exception& error) {
        server(request).report_failure(inode, error.what());
        fuse_reply_err(request, EIO);
    }
}

}  // namespace shale::fuse
