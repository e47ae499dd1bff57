// How one wrong instruction is reported inside this room.
//
// Deep in a builder function there is nothing useful to return, so it throws a Mistake; the loop
// over instructions catches it, files a Diagnostic, and goes on with the next line. A Mistake never
// leaves the module.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace shale::dockerfile {

enum class Part { Keyword, Flag, Operand };

struct Mistake {
    std::string text;
    std::string hint;  // "did you mean FROM?", or empty
    // Where it is: a piece of the logical line if `at` says so, else this part of the statement.
    std::string_view at{};
    Part part = Part::Keyword;
    std::size_t index = 0;
};

[[noreturn]] void reject(std::string text, std::string hint = {});
[[noreturn]] void reject_at(std::string_view piece, std::string text, std::string hint = {});
[[noreturn]] void reject_operand(std::size_t index, std::string text, std::string hint = {});

// Runs `body`; a mistake in it that names no place is one of flag number `index`.
template <typename Body>
decltype(auto) blame_flag(std::size_t index, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (Mistake& mistake) {
        if (mistake.part == Part::Keyword && !mistake.at.data()) {
            mistake.part = Part::Flag;
            mistake.index = index;
        }
        throw;
    }
}

// "did you mean X?" for the candidate nearest to `word`, or empty.
std::string suggest(std::string_view word, std::span<const std::string> candidates);

}  // namespace shale::dockerfile
