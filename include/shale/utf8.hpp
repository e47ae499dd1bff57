// base: text that may be UTF-8.
#pragma once

#include <string_view>

namespace shale {

// The character that `text`, which is not empty, begins with, and in `value` its number; empty if
// it begins with none: a stray or cut byte, an overlong form, a surrogate.
std::string_view first_character(std::string_view text, char32_t& value);

// What a terminal obeys instead of showing it, in seven bits or in eight.
constexpr bool is_control(char32_t character) {
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

}  // namespace shale
