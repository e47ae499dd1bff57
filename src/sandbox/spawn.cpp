// Creating processes from a program with many threads and a large address space.
//
// fork would copy page tables (milliseconds for a build's worth of memory); posix_spawn knows no
// namespaces. So this does what posix_spawn does inside: clone with CLONE_VM | CLONE_VFORK on a
// stack of its own. The child shares our memory while the calling thread is suspended, so between
// clone and exec it must only make system calls and read what was prepared for it: no allocation,
// no locks, no exceptions. It reports a failure by storing errno and the name of the step.
//
// All signals are blocked around the clone: a handler running in the child would run in our memory.
#include "spawn.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>

namespace shale::sandbox {

struct Child::Plan {
    const Command* command = nullptr;
    Stdio stdio;
    bool contained = false;
    std::vector<int> keep;
    // argv and env as execve wants them.
    std::vector<char*> argv, env;
    // What went wrong in the child.
    const char* failed_step = nullptr;
    int failed_errno = 0;

    Plan(const Command& the_command, const Stdio& the_stdio)
        : command(&the_command), stdio(the_stdio) {
        for (const auto& text : command->argv)
            argv.push_back(const_cast<char*>(text.c_str()));
        for (const auto& text : command->env)
            env.push_back(const_cast<char*>(text.c_str()));
        argv.push_back(nullptr);
        env.push_back(nullptr);
    }
};

namespace {

constexpr std::size_t kChildStackBytes = 64 << 10;

struct SignalsBlocked {
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &saved);
    }
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &saved, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    sigset_t saved{};
};

// --- Runs in the child: system calls only. Each step returns false with errno set. ---

bool join_cgroup(const char* file) {
    const int fd = ::open(file, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && ::write(fd, "0", 1) == 1 && ::close(fd) == 0;
}

// Slave, not private: where the host's mounts are shared, an unmount there also happens here and
// does not leave the file system busy.
bool own_mounts(const Command& command) {
    if (::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return false;
    // Best effort: the owner may have unmounted it by now.
    for (const auto& path : command.detach)
        ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    return ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
}

// A mount anew waits until the kernel is done with every group that was removed before, the last
// step's for one: some milliseconds. Another view of the one there is does not.
bool show_only_cgroup2(const std::string& mounted_at) {
    struct statfs status {};
    if (!mounted_at.empty() && ::statfs(mounted_at.c_str(), &status) == 0 &&
        status.f_type == CGROUP2_SUPER_MAGIC &&
        ::mount(mounted_at.c_str(), "/sys/fs/cgroup", nullptr, MS_BIND, nullptr) == 0)
        return true;
    return ::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                   nullptr) == 0;
}

// crun and runc refuse to let a container overwrite their binary and, unless it lies on a read-only
// mount, run themselves a second time from a protected copy. Giving them the read-only mount saves
// that second start; if it cannot be had they are still safe.
void protect_program(const char* program) {
    if (::mount(program, program, nullptr, MS_BIND, nullptr) == 0)
        ::mount(nullptr, program, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr);
}

// Moves descriptors to 0, 1, 2. Sources are first lifted above the targets, so that no dup2
// overwrites one that is still needed.
bool place_stdio(const Child::Stdio& stdio) {
    const int wanted[3] = {stdio.in, stdio.out, stdio.err};
    int lifted[3];
    for (int i = 0; i < 3; ++i) {
        lifted[i] = ::fcntl(wanted[i], F_DUPFD_CLOEXEC, 3);
        if (lifted[i] < 0) return false;
    }
    for (int i = 0; i < 3; ++i)
        if (::dup2(lifted[i], i) < 0) return false;
    return true;
}

bool inherit_only(const std::vector<int>& keep) {
    if (::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) != 0 && errno != ENOSYS)
        return false;
    for (const int fd : keep)
        if (::fcntl(fd, F_SETFD, 0) != 0) return false;
    return true;
}

// Handlers do not survive exec, but ignored signals would reach the container.
bool default_signals() {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < 32; ++number)
        ::sigaction(number, &action, nullptr);
    sigset_t none;
    sigemptyset(&none);
    return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

}  // namespace

int Child::child_main(void* argument) {
    Plan& plan = *static_cast<Plan*>(argument);
    const Command& command = *plan.command;
    const auto failed = [&plan](const char* step) {
        plan.failed_errno = errno;
        plan.failed_step = step;
        ::_exit(127);
        return 127;
    };
    // Follows the thread that started it, which waits for it until its end. Helpers have no such
    // thread and watch a pipe instead.
    if (plan.contained && ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return failed("prctl");
    for (const auto& file : command.join_cgroups)
        if (!join_cgroup(file.c_str())) return failed("joining a cgroup for");
    if (command.network_fd >= 0 && ::setns(command.network_fd, CLONE_NEWNET) != 0)
        return failed("entering the network namespace for");
    if (plan.contained) {
        if (!own_mounts(command)) return failed("making a private mount tree for");
        if (command.only_cgroup2 && !show_only_cgroup2(command.cgroup2_at))
            return failed("mounting cgroup2 for");
        protect_program(plan.argv[0]);
    }
    if (!command.terminal && ::setsid() < 0) return failed("setsid for");
    ::umask(022);
    if (!place_stdio(plan.stdio) || !inherit_only(plan.keep) || !default_signals())
        return failed("preparing descriptors for");
    ::execve(plan.argv[0], plan.argv.data(), plan.env.data());
    return failed("executing");
}

Child Child::start(Plan& plan) {
    const std::unique_ptr<std::byte[]> stack(new std::byte[kChildStackBytes]);
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    if (plan.contained) flags |= CLONE_NEWPID | CLONE_NEWNS;
    if (plan.command->own_cgroup_namespace) flags |= CLONE_NEWCGROUP;
    int pid_fd = -1, pid = -1, error = 0;
    {
        const SignalsBlocked blocked;
        pid = ::clone(&Child::child_main, stack.get() + kChildStackBytes, flags, &plan, &pid_fd);
        error = errno;
    }
    if (pid < 0) throw_errno(error, "creating a process for", plan.argv[0]);
    Child child(pid, UniqueFd(pid_fd));
    if (plan.failed_step) throw_errno(plan.failed_errno, plan.failed_step, plan.argv[0]);
    return child;
}

Child Child::start_contained(const Command& command, const Stdio& stdio) {
    Plan plan(command, stdio);
    plan.contained = true;
    return start(plan);
}

Child Child::start_helper(const std::vector<std::string>& argv, Stdio stdio,
                          const std::vector<int>& keep) {
    Command command;
    command.argv = argv;
    const UniqueFd nowhere = open_file("/dev/null", O_RDWR);
    for (int* fd : {&stdio.in, &stdio.out, &stdio.err})
        if (*fd < 0) *fd = nowhere.get();
    Plan plan(command, stdio);
    plan.keep = keep;
    return start(plan);
}

Child::~Child() {
    if (pid_ < 0) return;
    kill();
    wait();
}

void Child::kill() const {
    // Through the descriptor, so that it can never hit a stranger who got our number.
    ::syscall(SYS_pidfd_send_signal, pid_fd_.get(), SIGKILL, nullptr, 0);
}

Exit Child::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0)
        if (errno != EINTR) break;
    pid_ = -1;
    Exit exit;
    if (WIFSIGNALED(status))
        exit.signal = WTERMSIG(status);
    else
        exit.code = WEXITSTATUS(status);
    return exit;
}

}  // namespace shale::sandbox
