// Process limits in the words of OCI runtimes.
#pragma once

#include <shale/sandbox.hpp>

#include <string>

namespace shale::sandbox {

// "nofile" -> "RLIMIT_NOFILE"
std::string runtime_limit_name(const std::string& name);

}  // namespace shale::sandbox
