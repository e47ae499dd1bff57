// The filter: its table, and its byte code run by a small interpreter of classic BPF.
#include "seccomp.hpp"
#include "seccomp_filter.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <sstream>

namespace shale::sandbox {
namespace {

TEST(SeccompRules, NoCallIsListedTwiceUnconditionally) {
    std::map<std::string, int> count;
    for (const SeccompRule& rule : default_seccomp_rules()) {
        if (!rule.tests.empty()) continue;
        std::istringstream calls{std::string(rule.calls)};
        for (std::string name; calls >> name;)
            EXPECT_EQ(++count[name], 1) << name;
    }
    EXPECT_GT(count.size(), 300u);
}

TEST(SeccompRules, CallsThatLeaveTheContainerAreAbsent) {
    for (const SeccompRule& rule : default_seccomp_rules()) {
        std::istringstream calls{std::string(rule.calls)};
        for (std::string name; calls >> name;)
            for (const char* forbidden : {"mount",
                                          "umount2",
                                          "unshare",
                                          "setns",
                                          "bpf",
                                          "perf_event_open",
                                          "keyctl",
                                          "add_key",
                                          "request_key",
                                          "init_module",
                                          "finit_module",
                                          "kexec_load",
                                          "reboot",
                                          "swapon",
                                          "open_by_handle_at",
                                          "userfaultfd",
                                          "io_uring_setup",
                                          "settimeofday",
                                          "clock_settime",
                                          "pivot_root",
                                          "fsopen",
                                          "move_mount",
                                          "iopl",
                                          "kcmp"})
                EXPECT_NE(name, forbidden);
    }
}

#ifdef __x86_64__

// What the kernel would do with the call: 0 to allow it, else the error number.
int verdict(const std::string& code, const seccomp_data& data) {
    std::vector<sock_filter> program(code.size() / sizeof(sock_filter));
    std::memcpy(program.data(), code.data(), code.size());
    std::uint32_t a = 0;
    for (std::size_t pc = 0; pc < program.size(); ++pc) {
        const sock_filter& step = program.at(pc);
        switch (step.code) {
        case BPF_LD | BPF_W | BPF_ABS:
            std::memcpy(&a, reinterpret_cast<const char*>(&data) + step.k, sizeof a);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= step.k;
            break;
        case BPF_JMP | BPF_JA:
            pc += step.k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == step.k ? step.jt : step.jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > step.k ? step.jt : step.jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= step.k ? step.jt : step.jf;
            break;
        case BPF_RET | BPF_K:
            if (step.k == SECCOMP_RET_ALLOW) return 0;
            EXPECT_EQ(step.k & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ERRNO);
            return static_cast<int>(step.k & SECCOMP_RET_DATA);
        default:
            ADD_FAILURE() << "unknown instruction " << step.code;
            return -1;
        }
    }
    ADD_FAILURE() << "the filter ends without a verdict";
    return -1;
}

class SeccompFilter : public testing::Test {
  protected:
    void SetUp() override {
        if (code().empty()) GTEST_SKIP() << "built without libseccomp";
    }
    static const std::string& code() {
        static const std::string filter = compile_seccomp_filter();
        return filter;
    }
    static int native(int number, std::uint64_t first = 0) {
        seccomp_data data{};
        data.nr = number;
        data.arch = AUDIT_ARCH_X86_64;
        data.args[0] = first;
        return verdict(code(), data);
    }
};

TEST_F(SeccompFilter, OrdinaryCallsPass) {
    for (const int number : {SYS_read, SYS_openat, SYS_execve, SYS_mmap, SYS_futex, SYS_mknodat,
                             SYS_chroot, SYS_ptrace, SYS_arch_prctl, SYS_exit_group})
        EXPECT_EQ(native(number), 0) << number;
}

TEST_F(SeccompFilter, EverythingElseIsDenied) {
    for (const int number : {SYS_mount, SYS_unshare, SYS_setns, SYS_bpf, SYS_keyctl, SYS_reboot,
                             SYS_init_module, SYS_io_uring_setup, SYS_open_by_handle_at})
        EXPECT_EQ(native(number), EPERM) << number;
}

TEST_F(SeccompFilter, CloneMayNotMakeNamespaces) {
    EXPECT_EQ(native(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD), 0);
    for (const std::uint64_t flag : {CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
                                     CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP})
        EXPECT_EQ(native(SYS_clone, flag | SIGCHLD), EPERM) << flag;
    EXPECT_EQ(native(SYS_clone3), ENOSYS);
}

TEST_F(SeccompFilter, PersonalityIsLimitedToHarmlessValues) {
    for (const std::uint64_t value : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
        EXPECT_EQ(native(SYS_personality, value), 0) << value;
    EXPECT_EQ(native(SYS_personality, 0x0040000), EPERM) << "ADDR_NO_RANDOMIZE";
}

TEST_F(SeccompFilter, SomeSocketFamiliesAreDenied) {
    for (const std::uint64_t family : {1, 2, 10, 16, 17, 37, 39, 41})
        EXPECT_EQ(native(SYS_socket, family), 0) << family;
    EXPECT_EQ(native(SYS_socket, 38), EPERM) << "AF_ALG";
    EXPECT_EQ(native(SYS_socket, 40), EPERM) << "AF_VSOCK";
}

// A C library tries the new call first and falls back only on ENOSYS.
TEST_F(SeccompFilter, CallsNewerThanTheTableDoNotExist) {
    EXPECT_EQ(native(452), 0) << "fchmodat2, newer than libseccomp 2.5 but in the table";
    EXPECT_EQ(native(467), ENOSYS);
    EXPECT_EQ(native(1000), ENOSYS);
}

TEST_F(SeccompFilter, ThirtyTwoBitCallsAreJudgedToo) {
    seccomp_data data{};
    data.arch = AUDIT_ARCH_I386;
    data.nr = 3;  // read
    EXPECT_EQ(verdict(code(), data), 0);
    data.nr = 21;  // mount
    EXPECT_EQ(verdict(code(), data), EPERM);
}

TEST_F(SeccompFilter, TheX32CallsAreNotMistakenForNewOnes) {
    EXPECT_EQ(native(0x40000000 | SYS_read), 0);
    EXPECT_EQ(native(0x40000000 | SYS_mount), EPERM);
}

#endif

}  // namespace
}  // namespace shale::sandbox
