// Compiles the rule table with libseccomp.
//
// A runtime could do this from config.json, but it would do so for every container: compiling for
// three architectures costs crun 16 of its 25 ms. crun accepts ready byte code (annotation
// run.oci.seccomp_bpf_data), and owning the byte code lets us be more careful than Debian's
// libseccomp 2.5 allows: calls that are newer than the library are allowed by number, and calls
// newer than our table fail with ENOSYS. With EPERM, a C library would not try its older
// equivalent, and `tar` in a new image would fail to set modes.
#include "seccomp_filter.hpp"

#include "seccomp.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>

#ifdef SHALE_HAVE_LIBSECCOMP
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#endif

namespace shale::sandbox {

#ifndef SHALE_HAVE_LIBSECCOMP

std::string compile_seccomp_filter() {
    return {};
}
std::string seccomp_filter_version() {
    return "none";
}

#else

namespace {

// Since 424 a new call has one number on every architecture. Names beyond libseccomp 2.5.4.
const std::map<std::string_view, int>& new_calls() {
    static const std::map<std::string_view, int> numbers = {
        {"cachestat", 451},     {"fchmodat2", 452},  {"map_shadow_stack", 453},
        {"futex_wake", 454},    {"futex_wait", 455}, {"futex_requeue", 456},
        {"statmount", 457},     {"listmount", 458},  {"mseal", 462},
        {"setxattrat", 463},    {"getxattrat", 464}, {"listxattrat", 465},
        {"removexattrat", 466},
    };
    return numbers;
}
constexpr std::uint32_t kNewestCall = 466;

#if defined(__x86_64__)
constexpr std::uint32_t kNativeAudit = AUDIT_ARCH_X86_64;
constexpr std::uint32_t kFirstForeignCall = 0x40000000;  // the x32 ABI counts from here
#elif defined(__aarch64__)
constexpr std::uint32_t kNativeAudit = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t kFirstForeignCall = 0xffffffff;
#else
constexpr std::uint32_t kNativeAudit = AUDIT_ARCH_RISCV64;
constexpr std::uint32_t kFirstForeignCall = 0xffffffff;
#endif

[[noreturn]] void seccomp_failed(std::string_view what, int error) {
    throw_errno(-error, "compiling the seccomp filter", what);
}

int call_number(const std::string& name) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number != __NR_SCMP_ERROR) return number;
    const auto found = new_calls().find(name);
    return found == new_calls().end() ? __NR_SCMP_ERROR : found->second;
}

scmp_arg_cmp to_library(const ArgumentTest& test) {
    switch (test.comparison) {
    case Comparison::Less:
        return {test.index, SCMP_CMP_LT, test.value, 0};
    case Comparison::Equal:
        return {test.index, SCMP_CMP_EQ, test.value, 0};
    case Comparison::Greater:
        return {test.index, SCMP_CMP_GT, test.value, 0};
    case Comparison::MaskedEqual:
        return {test.index, SCMP_CMP_MASKED_EQ, test.value, test.masked_value};
    }
    return {};
}

void add_rule(scmp_filter_ctx context, const SeccompRule& rule) {
    const std::uint32_t action =
        rule.error == kAllow ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(static_cast<unsigned>(rule.error));
    std::vector<scmp_arg_cmp> tests;
    for (const ArgumentTest& test : rule.tests)
        tests.push_back(to_library(test));
    for (std::string_view rest = rule.calls; !rest.empty();) {
        const std::string name(rest.substr(0, rest.find(' ')));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        const int number = call_number(name);
        if (number == __NR_SCMP_ERROR) continue;  // another architecture's, or newer than we know
        const int result = ::seccomp_rule_add_array(
            context, action, number, static_cast<unsigned>(tests.size()), tests.data());
        // -EDOM, -EFAULT: the call exists on no architecture of this filter.
        if (result != 0 && result != -EDOM && result != -EFAULT) seccomp_failed(name, result);
    }
}

void add_architectures(scmp_filter_ctx context) {
    for (const std::string_view name : seccomp_architectures()) {
        std::string library_name(name.substr(std::string_view("SCMP_ARCH_").size()));
        for (char& letter : library_name)
            if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
        const std::uint32_t token = ::seccomp_arch_resolve_name(library_name.c_str());
        const int result = ::seccomp_arch_add(context, token);
        if (result != 0 && result != -EEXIST) seccomp_failed(name, result);
    }
}

// Native calls that are newer than the table get ENOSYS before the compiled filter sees them. Jumps
// in byte code are relative, so the filter can follow unchanged.
std::string newer_calls_preamble() {
    const sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kNativeAudit, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kNewestCall, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstForeignCall, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    return {reinterpret_cast<const char*>(code), sizeof code};
}

std::string export_filter(scmp_filter_ctx context) {
    const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!memory) throw_errno("memfd_create");
    const int result = ::seccomp_export_bpf(context, memory.get());
    if (result != 0) seccomp_failed("export", result);
    const off_t size = ::lseek(memory.get(), 0, SEEK_END);
    if (size < 0) throw_errno("lseek", "seccomp filter");
    std::string code(static_cast<std::size_t>(size), '\0');
    pread_exact(memory.get(), std::as_writable_bytes(std::span(code)), 0, "seccomp filter");
    return code;
}

}  // namespace

std::string compile_seccomp_filter() {
    const std::unique_ptr<void, void (*)(scmp_filter_ctx)> context(
        ::seccomp_init(SCMP_ACT_ERRNO(EPERM)), ::seccomp_release);
    if (!context) fail(ErrorKind::System, "seccomp_init failed");
    add_architectures(context.get());
    // A binary tree over call numbers instead of a list: ~9 comparisons per call, not ~300.
    // Libraries before 2.5 do not know the attribute and make the list.
    ::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (const SeccompRule& rule : default_seccomp_rules())
        add_rule(context.get(), rule);
    return newer_calls_preamble() + export_filter(context.get());
}

std::string seccomp_filter_version() {
    std::size_t hash = 0;
    for (const SeccompRule& rule : default_seccomp_rules()) {
        hash = hash * 31 + std::hash<std::string_view>()(rule.calls) +
               static_cast<std::size_t>(rule.error);
        for (const ArgumentTest& test : rule.tests)
            hash = hash * 31 + test.value + static_cast<std::size_t>(test.comparison);
    }
    const scmp_version* library = ::seccomp_version();
    return fmt::format("{}.{}.{}-{}-{:x}", library->major, library->minor, library->micro,
                       kNewestCall, hash);
}

#endif

}  // namespace shale::sandbox
