// Ties an error to Dockerfile lines: whatever leaves the body becomes a BuildError with an excerpt,
// unless it already is one.
#pragma once

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

namespace shale::build {

template <typename Body>
decltype(auto) located(const dockerfile::File& file, dockerfile::LineRange lines, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const BuildError&) {
        throw;
    } catch (const Error& error) {
        throw BuildError(error, {}, {}, dockerfile::excerpt(file, lines), lines);
    }
}

// The same for a stage's FROM or an instruction, with carets under the word that the error quotes.
template <typename Line, typename Body>
decltype(auto) located_at(const dockerfile::File& file, const Line& line, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const BuildError&) {
        throw;
    } catch (const Error& error) {
        const auto place = dockerfile::find_culprit(line.flags, line.operands, error.what());
        throw BuildError(error, {}, {}, dockerfile::excerpt(file, line.lines, place), line.lines);
    }
}

}  // namespace shale::build
