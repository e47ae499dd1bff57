// shale build --check and --call: questions about a Dockerfile that need no build.
#pragma once

#include "flags.hpp"

#include <shale/build.hpp>

#include <string>

namespace shale::cli {

class Workspace;

struct CallFlags {
    std::string call;  // as given: "outline,format=json"; empty: build
    bool check = false;
};
void declare_call_flags(CLI::App& app, CallFlags& flags);

// Whether something else than a build is asked for. Invalid for a word that is no method.
bool is_call(const CallFlags& flags);
// Answers on standard output; the exit status is 1 if there is anything to mend.
int run_call(const CallFlags& flags, const build::Request& request, Workspace& workspace);

}  // namespace shale::cli
