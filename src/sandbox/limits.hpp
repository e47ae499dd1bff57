// Process limits in the words of OCI runtimes.
#pragma once

#include <shale/sandbox.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace shale::sandbox {

// "nofile" -> "RLIMIT_NOFILE"
std::string runtime_limit_name(const std::string& name);
// This process's hard limit, above which only the machine's root gets; nullopt: there is none.
std::optional<std::uint64_t> most_of_limit(const std::string& name);

}  // namespace shale::sandbox
