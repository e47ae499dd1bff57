// The text of --help, made from the same Command and flag table that parsing uses.
#pragma once

#include "command.hpp"
#include "flags.hpp"

#include <CLI/App.hpp>

#include <string>

namespace shale::cli {

std::string overview();  // shale --help
// `app` has the command's flags declared.
std::string command_help(const Command& command, const CLI::App& app);

// A CLI::App with the flags of `command` and the global ones declared into `globals`; `run`
// receives what the command's declaration returned.
struct Parser {
    explicit Parser(const Command& command);
    CLI::App app;
    Globals globals;
    Run run;
};

}  // namespace shale::cli
