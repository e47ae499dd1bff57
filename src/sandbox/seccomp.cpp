// Docker's default filter, as data.
//
// The filter is an allow list: a container may make the calls that ordinary programs need, and
// every other call fails with EPERM. What is missing is missing for one of four reasons: it acts on
// the whole machine (reboot, kexec, modules, clocks, swap), it makes namespaces or mounts (unshare,
// setns, mount), it reaches into things that have no namespace (keyrings, perf, bpf, userfaultfd),
// or nobody has used it for a decade. Our container always has Docker's default capabilities, so
// the calls that Docker allows only together with a further capability are simply absent.
//
// clone3 passes its flags in memory, where a filter cannot read them; it fails with ENOSYS, which
// makes C libraries fall back to clone, whose flags can be read.
#include "seccomp.hpp"

#include <sched.h>

#include <cerrno>

namespace shale::sandbox {

namespace {

constexpr std::string_view kFiles =
    "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 "
    "dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 "
    "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr "
    "fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
    "getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat "
    "listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 "
    "mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 "
    "pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv "
    "removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr "
    "setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync "
    "sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev";

constexpr std::string_view kWaiting =
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 "
    "io_setup "
    "io_submit _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd "
    "signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";

constexpr std::string_view kMemory =
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore "
    "mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap "
    "pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages";

constexpr std::string_view kProcesses =
    "alarm capget capset chroot execve execveat exit exit_group fork futex futex_requeue "
    "futex_time64 futex_wait futex_waitv futex_wake getcpu getpgid getpgrp getpid getppid "
    "getpriority get_robust_list getrusage getsid gettid get_thread_area ioprio_get ioprio_set "
    "kill "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open "
    "pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall "
    "riscv_hwprobe rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity "
    "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp setpgid setpriority setrlimit "
    "set_robust_list setsid set_thread_area set_tid_address sigaltstack sigprocmask sigreturn "
    "tgkill tkill ugetrlimit getrlimit uretprobe vfork wait4 waitid waitpid";

constexpr std::string_view kUsers =
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid "
    "getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 "
    "setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid "
    "setresuid32 setreuid setreuid32 setuid setuid32";

// Setting a clock passes the filter where the kernel itself demands CAP_SYS_TIME (adjtimex reads
// with it absent, which NTP clients and libc rely on).
constexpr std::string_view kTimeAndMachine =
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday "
    "nanosleep setitimer sysinfo time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 times uname";

constexpr std::string_view kTalking =
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr "
    "mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl "
    "semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat "
    "shmctl "
    "shmdt shmget shutdown socketcall socketpair";

#if defined(__x86_64__)
constexpr std::string_view kThisMachine = "arch_prctl modify_ldt";
constexpr std::string_view kArchitectures[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
                                               "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
constexpr std::string_view kThisMachine = "arm_fadvise64_64 arm_sync_file_range breakpoint "
                                          "cacheflush set_tls sync_file_range2";
constexpr std::string_view kArchitectures[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#elif defined(__riscv)
constexpr std::string_view kThisMachine = "riscv_flush_icache";
constexpr std::string_view kArchitectures[] = {"SCMP_ARCH_RISCV64"};
#else
#error "the default seccomp filter has no entry for this machine"
#endif

// Every CLONE_NEW* flag that clone(2) knows; with one of them set the call would make a namespace.
constexpr std::uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                          CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                          CLONE_NEWNET;

// personality(2) values: Linux and 32-bit-looking Linux, each also with a version number that old
// programs can parse (UNAME26), and the query 0xffffffff. Turning off address space randomisation
// is deliberately not among them.
constexpr std::uint64_t kPersonalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

// Socket families that bypass the network namespace or expose rarely reviewed kernel code.
constexpr std::uint64_t kFamilyCrypto = 38, kFamilyVsock = 40;

std::vector<SeccompRule> make_rules() {
    std::vector<SeccompRule> rules;
    for (const auto calls :
         {kFiles, kWaiting, kMemory, kProcesses, kUsers, kTimeAndMachine, kTalking, kThisMachine})
        rules.push_back({calls, kAllow, {}});
    rules.push_back({"socket", kAllow, {{0, kFamilyCrypto, 0, Comparison::Less}}});
    rules.push_back({"socket", kAllow, {{0, kFamilyCrypto + 1, 0, Comparison::Equal}}});
    rules.push_back({"socket", kAllow, {{0, kFamilyVsock, 0, Comparison::Greater}}});
    for (const auto value : kPersonalities)
        rules.push_back({"personality", kAllow, {{0, value, 0, Comparison::Equal}}});
    rules.push_back({"clone", kAllow, {{0, kNamespaceFlags, 0, Comparison::MaskedEqual}}});
    rules.push_back({"clone3", ENOSYS, {}});
    return rules;
}

}  // namespace

const std::vector<SeccompRule>& default_seccomp_rules() {
    static const std::vector<SeccompRule> rules = make_rules();
    return rules;
}

std::span<const std::string_view> seccomp_architectures() {
    return kArchitectures;
}

}  // namespace shale::sandbox
