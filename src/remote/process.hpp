// Runs a program to its end and keeps what it says, within bounds.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::remote {

struct Command {
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // the whole of it, "NAME=value"
    std::stop_token stop{};                // kills it, and ends run() with Cancelled
    std::size_t max_output = 8 << 20;      // of standard output; more is Network
};

struct Finished {
    int status = 0;  // exit code, or 128 + signal
    std::string output;
    std::string complaint;  // the last of standard error
};

// In a process group of its own, with nothing on standard input. NotFound if there is no such
// program.
Finished run(const Command& command);

}  // namespace shale::remote
