// The system-call filter of a step: which calls pass, as plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace shale::sandbox {

enum class Comparison { Less, Equal, Greater, MaskedEqual };

// Compares one argument of a call. MaskedEqual passes if (argument & value) == masked_value.
struct ArgumentTest {
    unsigned index = 0;
    std::uint64_t value = 0;
    std::uint64_t masked_value = 0;
    Comparison comparison = Comparison::Equal;
};

inline constexpr int kAllow = 0;

// `calls` are separated by blanks. The calls pass (kAllow) or fail with `error`; a test narrows
// the rule to some arguments. Whatever no rule names fails with EPERM.
struct SeccompRule {
    std::string_view calls;
    int error = kAllow;
    std::vector<ArgumentTest> tests;
};

// The rules for a process without CAP_SYS_ADMIN on the machine this was compiled for.
const std::vector<SeccompRule>& default_seccomp_rules();
// Names for the architectures whose calls the filter judges: the native one and its 32-bit kin.
std::span<const std::string_view> seccomp_architectures();

}  // namespace shale::sandbox
