// Entering a user namespace of one's own.
//
// Only a process with rights over a namespace from outside may write its table of IDs, and for more
// than one ID those are newuidmap's and newgidmap's. So there are two processes. A child makes the
// namespace and waits; this process, still outside, has the table written, lets the child try
// whether mounts are possible (where a security module forbids them, they are the first thing to
// fail), and only then joins it. What goes wrong before that has changed nothing here.
#include "pipe.hpp"
#include "probe.hpp"
#include "spawn.hpp"
#include "subordinate_ids.hpp"

#include <shale/base.hpp>
#include <shale/rootless.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <vector>

namespace shale::sandbox {

namespace {

constexpr std::uint64_t kMaxFileBytes = 4 << 20;  // of /etc/subuid
constexpr std::size_t kMaxOutputBytes = 64 << 10;

[[noreturn]] void unsupported(const std::string& why) {
    fail(ErrorKind::Unsupported, why);
}

std::string text_of(const std::string& path) {
    try {
        return read_file(path, kMaxFileBytes);
    } catch (const Error&) {  // whether it is missing or unreadable: it says nothing
        return {};
    }
}

std::string setting(const std::string& name) {
    std::string text = text_of("/proc/sys/" + name);
    while (text.ends_with('\n'))
        text.pop_back();
    return text;
}

std::string user_name(uid_t uid) {
    const passwd* const entry = ::getpwuid(uid);  // before the first thread
    return entry ? entry->pw_name : std::to_string(uid);
}

// --- Programs ------------------------------------------------------------------------------------

struct Said {
    int code = 0;
    std::string output;  // and errors
};

std::string read_to_end(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
        const ssize_t count = ::read(fd, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return text;
        if (text.size() < kMaxOutputBytes) text.append(buffer, static_cast<std::size_t>(count));
    }
}

Said run_program(const std::vector<std::string>& words) {
    Pipe pipe;
    const int into = pipe.write_end.get();
    Child child = Child::start_helper(words, {.out = into, .err = into});
    pipe.write_end.reset();
    Said said;
    said.output = read_to_end(pipe.read_end.get());
    const Exit exit = child.wait();
    said.code = exit.signal == 0 ? exit.code : 128 + exit.signal;
    while (said.output.ends_with('\n'))
        said.output.pop_back();
    return said;
}

std::string helper(const char* name) {
    auto program = find_program(name);
    if (program.empty())
        unsupported(fmt::format("{} is not installed; it comes with the package uidmap, "
                                "elsewhere shadow-utils",
                                name));
    return program;
}

// --- The child that makes the namespace ----------------------------------------------------------

class Founder {
  public:
    Founder() {
        pid_ = ::fork();
        if (pid_ < 0) throw_errno("fork");
        if (pid_ == 0) live();
        told_.write_end.reset();
        asked_.read_end.reset();
    }
    ~Founder() {
        asked_.write_end.reset();  // it ends
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    Founder(const Founder&) = delete;
    pid_t pid() const { return pid_; }
    // The errno of what it is at: making the namespace, then mounting in it.
    int next_error() const {
        int error = 0;
        ssize_t count = 0;
        do
            count = ::read(told_.read_end.get(), &error, sizeof error);
        while (count < 0 && errno == EINTR);
        return count == sizeof error ? error : ECHILD;
    }
    void go_on() const { write_all(asked_.write_end.get(), as_bytes("x"), "a child process"); }

  private:
    [[noreturn]] void live() {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        asked_.write_end.reset();  // or the end of our parent would not be the end of the pipe
        tell(::unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
        wait();
        const bool may_mount = ::unshare(CLONE_NEWNS) == 0 &&
                               ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
        tell(may_mount ? 0 : errno);
        wait();
        ::_exit(0);
    }
    void tell(int error) const {
        if (::write(told_.write_end.get(), &error, sizeof error) != sizeof error) ::_exit(1);
    }
    void wait() const {
        char byte = 0;
        ssize_t count = 0;
        do
            count = ::read(asked_.read_end.get(), &byte, 1);
        while (count < 0 && errno == EINTR);
        if (count != 1) ::_exit(0);
    }

    Pipe told_, asked_;
    pid_t pid_ = -1;
};

std::string why_forbidden(int error) {
    if (error == ENOSPC)
        return "user.max_user_namespaces is " + setting("user/max_user_namespaces") +
               ", and as many exist";
    if (setting("kernel/unprivileged_userns_clone") == "0")
        return "the sysctl kernel.unprivileged_userns_clone is 0";
    if (setting("kernel/apparmor_restrict_unprivileged_userns") == "1")
        return "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and no AppArmor "
               "profile allows them for this program";
    if (error == EINVAL || error == ENOSYS) return "the kernel was built without them";
    return std::generic_category().message(error) +
           " (a seccomp filter of a container around this, or a security module)";
}

// --- The table -----------------------------------------------------------------------------------

struct Kind {
    const char* file;
    std::vector<std::string> query;  // getsubids(1)
};

std::vector<IdRange> ranges_of(const Kind& kind, const std::string& name, uid_t uid) {
    auto ranges = parse_subordinate_ids(text_of(kind.file), name, uid);
    if (!ranges.empty()) return ranges;
    if (const auto program = find_program(kind.query.front()); !program.empty()) {
        auto words = kind.query;
        words.front() = program;
        words.push_back(name);
        if (const auto said = run_program(words); said.code == 0)
            ranges = parse_getsubids(said.output);
    }
    if (ranges.empty())
        unsupported(fmt::format("{0} lends no subordinate IDs to {1}; give some with `usermod "
                                "--add-subuids 100000-165535 --add-subgids 100000-165535 {1}`, in "
                                "a range that nobody else has",
                                kind.file, name));
    return ranges;
}

void write_map(const std::string& program, pid_t pid, const std::vector<std::string>& map) {
    std::vector<std::string> words{program, std::to_string(pid)};
    words.insert(words.end(), map.begin(), map.end());
    const auto said = run_program(words);
    if (said.code != 0)
        unsupported(fmt::format("{} failed: {}", program,
                                said.output.empty() ? fmt::format("exit code {}", said.code)
                                                    : said.output));
}

}  // namespace

void enter_user_namespace() {
    const uid_t uid = ::geteuid();
    const std::string name = user_name(uid);
    const std::string newuidmap = helper("newuidmap"), newgidmap = helper("newgidmap");
    const auto users = id_map_arguments(uid, ranges_of({"/etc/subuid", {"getsubids"}}, name, uid));
    const auto groups =
        id_map_arguments(::getegid(), ranges_of({"/etc/subgid", {"getsubids", "-g"}}, name, uid));

    const Founder founder;
    if (const int error = founder.next_error(); error != 0)
        unsupported("user namespaces are not permitted here: " + why_forbidden(error));
    write_map(newuidmap, founder.pid(), users);
    write_map(newgidmap, founder.pid(), groups);
    founder.go_on();
    if (const int error = founder.next_error(); error != 0)
        unsupported("mounts in a user namespace are not permitted here: " + why_forbidden(error));
    const UniqueFd space = open_file(fmt::format("/proc/{}/ns/user", founder.pid()), O_RDONLY);
    if (::setns(space.get(), CLONE_NEWUSER) != 0) throw_errno("entering", "a user namespace");
}

}  // namespace shale::sandbox
