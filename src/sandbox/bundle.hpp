// From a Spec to the config.json of an OCI runtime bundle.
#pragma once

#include <shale/sandbox.hpp>

#include <string>
#include <vector>

namespace shale::sandbox {

// What differs between runtimes and runs but is not the caller's business.
struct BundleOptions {
    std::string cgroup_path;  // absolute in each hierarchy; empty: the runtime manages no cgroup
    // A compiled filter, for runtimes that take one; empty: the rules are written out.
    std::string seccomp_base64;
    // Of the caller's terminal, if Spec::terminal; 0 leaves the size to the runtime.
    unsigned console_rows = 0, console_columns = 0;
    bool in_user_namespace = false;
};

// OCI runtime-spec 1.0 config.json. Invalid if the Spec cannot be one (no argv, a relative path).
// The network namespace is the one that the runtime is started in: none is listed.
std::string make_config_json(const Spec& spec, const BundleOptions& options);

// Docker's default set, CapBnd 00000000a80425fb; and every capability of this kernel.
std::vector<std::string> default_capabilities();
std::vector<std::string> all_capabilities();

}  // namespace shale::sandbox
