// A child that is read until both its pipes end, then reaped. Helpers it leaves behind hold the
// pipes open: git's do so only while they work for it. A stop request kills the whole group.
#include "process.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace shale::remote {
namespace {

constexpr std::size_t kMaxComplaint = 16 << 10;
// How often a stop request is looked for.
constexpr int kPollMilliseconds = 100;

struct Pipe {
    UniqueFd read_end, write_end;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
        read_end.reset(ends[0]);
        write_end.reset(ends[1]);
    }
};

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> out;
    for (auto& word : words)
        out.push_back(word.data());
    out.push_back(nullptr);
    return out;
}

class Actions {
  public:
    Actions(int out, int err) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
        ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions_, err, STDERR_FILENO);
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setpgroup(&attributes_, 0);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                     POSIX_SPAWN_SETSIGDEF);
    }
    ~Actions() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }
    Actions(const Actions&) = delete;
    const posix_spawn_file_actions_t* files() const { return &actions_; }
    const posix_spawnattr_t* attributes() const { return &attributes_; }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

// The leader of a process group; the group is killed and the leader reaped if it is left behind.
class Child {
  public:
    Child(const Command& command, int out, int err) {
        auto words = command.argv, variables = command.environment;
        const auto argv = pointers(words), environment = pointers(variables);
        const Actions actions(out, err);
        const int error = ::posix_spawnp(&pid_, argv[0], actions.files(), actions.attributes(),
                                         argv.data(), environment.data());
        if (error != 0) {
            pid_ = -1;
            throw_errno(error, "starting", command.argv.front());
        }
    }
    Child(const Child&) = delete;
    ~Child() {
        if (pid_ < 0) return;
        ::kill(-pid_, SIGKILL);
        wait();
    }
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    pid_t pid_ = -1;
};

// False at the end.
bool read_some(int fd, std::string& into) {
    char buffer[64 << 10];
    for (;;) {
        const ssize_t count = ::read(fd, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("read");
        into.append(buffer, static_cast<std::size_t>(count));
        return count > 0;
    }
}

}  // namespace

Finished run(const Command& command) {
    Pipe out, err;
    Child child(command, out.write_end.get(), err.write_end.get());
    out.write_end.reset();
    err.write_end.reset();
    Finished finished;
    pollfd pipes[2] = {{out.read_end.get(), POLLIN, 0}, {err.read_end.get(), POLLIN, 0}};
    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        if (command.stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        if (::poll(pipes, 2, kPollMilliseconds) < 0 && errno != EINTR) throw_errno("poll");
        if (pipes[0].revents != 0 && !read_some(pipes[0].fd, finished.output)) pipes[0].fd = -1;
        if (pipes[1].revents != 0 && !read_some(pipes[1].fd, finished.complaint)) pipes[1].fd = -1;
        pipes[0].revents = pipes[1].revents = 0;
        if (finished.output.size() > command.max_output)
            fail(ErrorKind::Network, command.argv.front() + " says too much");
        if (finished.complaint.size() > kMaxComplaint)
            finished.complaint.erase(0, finished.complaint.size() - kMaxComplaint);
    }
    finished.status = child.wait();
    return finished;
}

}  // namespace shale::remote
