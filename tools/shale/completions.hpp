// Completion scripts for shells, made from the same Command and flag table as --help. A script is
// text that stands alone: completing a word starts shale only to list image names.
#pragma once

#include <string>

namespace shale::cli {

inline constexpr const char* kCompletionShells = "bash|zsh|fish";

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace shale::cli
