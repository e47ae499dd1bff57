// How one wrong instruction is reported inside this room.
//
// Deep in a builder function there is nothing useful to return, so it throws a Mistake; the loop
// over instructions catches it, files a Diagnostic, and goes on with the next line. A Mistake never
// leaves the module.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace shale::dockerfile {

struct Mistake {
    std::string text;
    std::string hint;  // "did you mean FROM?", or empty
};

[[noreturn]] void reject(std::string text, std::string hint = {});

// "did you mean X?" for the candidate nearest to `word`, or empty.
std::string suggest(std::string_view word, std::span<const std::string> candidates);

}  // namespace shale::dockerfile
