// Runs a contained program and pumps its output.
#include "command_runner.hpp"

#include "pipe.hpp"
#include "spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

namespace shale::sandbox {

namespace {

constexpr std::size_t kReadBytes = 64 << 10;  // the capacity of a pipe

// Delivers up to `limit` bytes of what is there now, without waiting. Closes the descriptor at its
// end.
void drain(UniqueFd& fd, OutputStream stream, const OnOutput& output, std::size_t limit) {
    char buffer[kReadBytes];
    while (fd && limit > 0) {
        const ssize_t count = ::read(fd.get(), buffer, std::min(sizeof buffer, limit));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) return fd.reset();
        limit -= static_cast<std::size_t>(count);
        if (output) output(stream, {buffer, static_cast<std::size_t>(count)});
    }
}

// What a program wrote before its end is in the pipe now, so one capacity's worth is all of it.
// More can only come from a stranger who was handed the descriptor through a socket and outlives
// the container; it must not keep the run from ending.
void drain_rest(UniqueFd& fd, OutputStream stream, const OnOutput& output) {
    if (!fd) return;
    const int capacity = ::fcntl(fd.get(), F_GETPIPE_SZ);
    if (capacity > 0) drain(fd, stream, output, static_cast<std::size_t>(capacity));
}

// Turns a stop request into something poll can wait for.
class StopSignal {
  public:
    explicit StopSignal(std::stop_token stop)
        : event_(::eventfd(0, EFD_CLOEXEC)), callback_(std::move(stop), [this] {
              const std::uint64_t one = 1;
              [[maybe_unused]] const ssize_t ignored = ::write(event_.get(), &one, sizeof one);
          }) {
        if (!event_) throw_errno("eventfd");
    }
    int fd() const { return event_.get(); }

  private:
    UniqueFd event_;
    std::stop_callback<std::function<void()>> callback_;
};

void poll_forever(std::span<pollfd> fds) {
    while (::poll(fds.data(), fds.size(), -1) < 0)
        if (errno != EINTR) throw_errno("poll");
}

// Returns true if the program was killed because of a stop request.
bool pump(const Child& child, UniqueFd& out, UniqueFd& err, const OnOutput& output,
          const StopSignal& stop) {
    bool stopped = false;
    for (;;) {
        // A negative descriptor is one that poll ignores.
        std::array<pollfd, 4> fds{{{child.pid_fd(), POLLIN, 0},
                                   {stopped ? -1 : stop.fd(), POLLIN, 0},
                                   {out.get(), POLLIN, 0},
                                   {err.get(), POLLIN, 0}}};
        poll_forever(fds);
        if (fds[0].revents) break;
        if (fds[1].revents) {
            child.kill();
            stopped = true;
        }
        if (fds[2].revents) drain(out, OutputStream::Stdout, output, kReadBytes);
        if (fds[3].revents) drain(err, OutputStream::Stderr, output, kReadBytes);
    }
    drain_rest(out, OutputStream::Stdout, output);
    drain_rest(err, OutputStream::Stderr, output);
    return stopped;
}

// A runtime puts the caller's terminal into raw mode and, if it is killed, leaves it there.
class TerminalModes {
  public:
    TerminalModes() : is_terminal_(::tcgetattr(STDIN_FILENO, &modes_) == 0) {}
    ~TerminalModes() {
        if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSANOW, &modes_);
    }
    TerminalModes(const TerminalModes&) = delete;

  private:
    termios modes_{};
    bool is_terminal_;
};

class SystemCommandRunner : public CommandRunner {
  public:
    Exit run(const Command& command, const OnOutput& output, std::stop_token stop) override {
        const StopSignal stop_signal(stop);
        if (command.terminal) {
            const TerminalModes restored;
            Child child = Child::start_contained(command, {0, 1, 2});
            UniqueFd no_out, no_err;
            return finish(child, pump(child, no_out, no_err, {}, stop_signal));
        }
        const UniqueFd nowhere = open_file("/dev/null", O_RDONLY);
        Pipe out, err;
        out.read_without_waiting();
        err.read_without_waiting();
        const int input = command.standard_input ? STDIN_FILENO : nowhere.get();
        Child child =
            Child::start_contained(command, {input, out.write_end.get(), err.write_end.get()});
        out.write_end.reset();
        err.write_end.reset();
        return finish(child, pump(child, out.read_end, err.read_end, output, stop_signal));
    }

  private:
    static Exit finish(Child& child, bool stopped) {
        Exit exit = child.wait();
        exit.stopped = stopped;
        return exit;
    }
};

}  // namespace

CommandRunner& system_command_runner() {
    static SystemCommandRunner runner;
    return runner;
}

}  // namespace shale::sandbox
