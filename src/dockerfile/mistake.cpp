// Raising a mistake, and the spelling hint that goes with it.
#include "mistake.hpp"

#include <shale/base.hpp>

#include <utility>

namespace shale::dockerfile {

void reject(std::string text, std::string hint) {
    throw Mistake{std::move(text), std::move(hint)};
}

void reject_at(std::string_view piece, std::string text, std::string hint) {
    throw Mistake{std::move(text), std::move(hint), piece};
}

void reject_operand(std::size_t index, std::string text, std::string hint) {
    throw Mistake{std::move(text), std::move(hint), {}, Part::Operand, index};
}

std::string suggest(std::string_view word, std::span<const std::string> candidates) {
    const std::string nearest = nearest_match(word, candidates);
    // An exact match means the spelling was not what is wrong.
    return nearest.empty() || nearest == word ? std::string() : "did you mean " + nearest + "?";
}

}  // namespace shale::dockerfile
