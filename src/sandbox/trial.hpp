// The smallest root file system in which something can run.
#pragma once

#include <string>

namespace shale::sandbox {

inline constexpr int kTrialExitCode = 42;

// A static program that ends with kTrialExitCode: 132 bytes or so, made from nothing, so that a
// trial container depends on no file of the host.
std::string trial_program();

}  // namespace shale::sandbox
