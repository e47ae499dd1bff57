// The system-call filter compiled to the kernel's byte code.
#pragma once

#include <string>

namespace shale::sandbox {

// default_seccomp_rules() as an array of struct sock_filter, or empty if this build has no
// libseccomp. Takes ~15 ms, so callers keep the result.
std::string compile_seccomp_filter();
// Changes whenever compile_seccomp_filter() could return something else.
std::string seccomp_filter_version();

}  // namespace shale::sandbox
