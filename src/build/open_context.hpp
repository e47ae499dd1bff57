// From what the command line says to files: the main context in all its forms, with the Dockerfile
// that belongs to it, and named contexts.
#pragma once

#include "context.hpp"
#include "plan.hpp"
#include "sources.hpp"

#include <memory>
#include <string>

namespace shale::build {

struct Definition {
    std::string path;  // on this machine; empty if it came from elsewhere
    std::string name;  // for messages
    std::string text;
};

struct MainContext {
    std::unique_ptr<Context> context;
    Definition definition;
};

// The context is a directory, "-" (a tar, else a Dockerfile that needs no files), a git reference,
// or a URL of an archive or a Dockerfile. NotFound: `unable to prepare context: path "x" not
// found`, `failed to read dockerfile: open x: no such file or directory`.
MainContext open_main_context(const Request& request, Services& services, Sources& sources,
                              Tracker& tracker);

// A directory with its own .dockerignore, a git reference, or a URL of a file, which is then called
// "context".
std::shared_ptr<Context> open_named_context(const ContextBase& base, Services& services,
                                            Sources& sources, Tracker& tracker);

}  // namespace shale::build
