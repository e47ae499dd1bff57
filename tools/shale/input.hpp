// What a command reads: a file, or standard input where "-" stands for its name.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <string>

namespace shale::cli {

// All of it. Invalid if it is larger than `limit` bytes.
std::string read_input(const std::string& name, std::uint64_t limit);
// Open for reading at any place, more than once: a pipe is copied first. Corrupt if nothing comes
// through one.
UniqueFd open_input(const std::string& name);

}  // namespace shale::cli
