// Names of stages and variables, of which the case does not matter.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace shale::build {

inline std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

}  // namespace shale::build
