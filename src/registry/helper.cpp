// The helper protocol: the server's name on standard input, a JSON document or a complaint on
// standard output, the exit status tells which. Standard error stays ours, some helpers prompt.
#include "helper.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

extern char** environ;

namespace shale::registry {
namespace {

constexpr std::size_t kMaxOutput = 64 << 10;
constexpr std::size_t kMaxInput = 60 << 10;  // less than a pipe holds
constexpr std::size_t kMaxNameLength = 128;
// Long enough for a person to unlock a key ring.
constexpr std::chrono::seconds kPatience{60};

bool is_plain_word(const std::string& name) {
    return !name.empty() && name.size() <= kMaxNameLength && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
           });
}

struct Pipe {
    UniqueFd read_end, write_end;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
        read_end.reset(ends[0]);
        write_end.reset(ends[1]);
    }
};

// A running helper; killed and reaped if it is left behind.
class Child {
  public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ < 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

  private:
    pid_t pid_;
};

// nullopt if there is no such program.
std::optional<pid_t> spawn(const std::string& program, std::string verb, int input, int output) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    std::string name = program;
    char* arguments[] = {name.data(), verb.data(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, name.c_str(), &actions, nullptr, arguments, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) return std::nullopt;
    if (error != 0) throw_errno(error, "starting", program);
    return pid;
}

std::string read_output(int fd, const std::string& program) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string out;
    char buffer[4096];
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd wanted{fd, POLLIN, 0};
        const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<long>(0, left.count())));
        if (ready == 0) fail(ErrorKind::Denied, program + ": no answer within 60 s");
        const ssize_t count = ready < 0 ? -1 : ::read(fd, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("reading from", program);
        if (count == 0) return out;
        out.append(buffer, static_cast<std::size_t>(count));
        if (out.size() > kMaxOutput) fail(ErrorKind::Denied, program + ": its answer is too long");
    }
}

}  // namespace

std::optional<std::string> run_credential_helper(const std::string& name, const std::string& verb,
                                                 const std::string& input_text) {
    if (!is_plain_word(name))
        fail(ErrorKind::Invalid, "credential helper \"" + name.substr(0, kMaxNameLength) +
                                     "\": only letters, digits and -_. may be in its name");
    const std::string program = "docker-credential-" + name;
    Pipe input, output;
    // Written before the helper exists: it fits into the pipe, and with a reader held open here
    // nobody is sent SIGPIPE if the helper never reads it.
    if (input_text.size() > kMaxInput)
        fail(ErrorKind::Invalid, program + ": the credential is too long for it");
    write_all(input.write_end.get(), as_bytes(input_text + "\n"), program);
    input.write_end.reset();
    const auto pid = spawn(program, verb, input.read_end.get(), output.write_end.get());
    if (!pid) {
        log(LogLevel::Warn, program + ": not found on $PATH; going on without it");
        return std::nullopt;
    }
    Child child(*pid);
    output.write_end.reset();
    const std::string answer = read_output(output.read_end.get(), program);
    const int status = child.wait();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return answer;
    // The one complaint that is an answer; its words are the protocol's.
    if (answer.starts_with("credentials not found")) return std::nullopt;
    const std::string reason = answer.substr(0, std::min<std::size_t>(answer.find('\n'), 200));
    fail(ErrorKind::Denied, program + ": " + (reason.empty() ? "failed" : reason));
}

}  // namespace shale::registry
