// Both ends of a pipe, closed by exec.
#pragma once

#include <shale/base.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace shale::sandbox {

struct Pipe {
    Pipe() {
        int fds[2];
        if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("pipe");
        read_end.reset(fds[0]);
        write_end.reset(fds[1]);
    }
    void read_without_waiting() const {
        if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl", "pipe");
    }
    UniqueFd read_end, write_end;
};

}  // namespace shale::sandbox
