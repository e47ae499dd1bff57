// A tar file as a tree: the A or B of `diff` and `layer`.
#pragma once

#include "tree_argument.hpp"

#include <optional>
#include <string>

namespace shale::cli {

// Any dialect and compression; whiteouts are honoured, as in a layer. nullopt if the file is no
// tar. Corrupt, naming the file, if it is a damaged one.
std::optional<TreeArgument> read_tar_argument(const std::string& path);

}  // namespace shale::cli
