// Changed text files line by line, for `shale diff --content`.
#pragma once

#include "tree_argument.hpp"

#include <shale/diff.hpp>

#include <string>
#include <vector>

namespace shale::cli {

// A unified diff of every file whose bytes changed, came or went, in the order of `changes`; of
// what is no text, one line saying so. Invalid if a tree that is asked for contents has none.
std::string content_diff(const std::vector<diff::Change>& changes, const TreeArgument& before,
                         const TreeArgument& after);

}  // namespace shale::cli
