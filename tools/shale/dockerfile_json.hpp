// A parsed Dockerfile as JSON, with the places of everything.
#pragma once

#include <shale/dockerfile.hpp>

#include <string>

namespace shale::cli {

// One document: directives, global arguments, stages, instructions, and the diagnostics.
std::string syntax_tree_json(const dockerfile::ParseResult& parsed);
// The same in short, for people: one line per stage and instruction.
std::string syntax_tree_text(const dockerfile::File& file);

}  // namespace shale::cli
