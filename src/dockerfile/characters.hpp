// What the other rooms of the parser ask about characters: UTF-8 decoding that keeps bad bytes,
// Unicode blanks, letters and digits, case, and the quoting used in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shale::dockerfile {

// One decoded character. A byte that is not valid UTF-8 stands for itself as kBadByte + byte, so
// that it equals only the same bad byte and survives a decode and encode round trip.
struct Rune {
    char32_t value = 0;
    std::size_t bytes = 1;
};
inline constexpr char32_t kBadByte = 0x110000;

Rune decode_rune(std::string_view text);  // `text` is not empty
void append_rune(std::string& out, char32_t rune);
std::u32string to_runes(std::string_view text);
std::string to_utf8(std::u32string_view runes);

bool is_space(char32_t rune);   // Unicode White_Space
bool is_letter(char32_t rune);  // Unicode category L
bool is_digit(char32_t rune);   // Unicode category Nd
// The narrower set that separates list arguments: tab, VT, FF, CR, blank.
inline bool is_list_gap(char c) {
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

std::string_view trim_left(std::string_view text);
std::string_view trim(std::string_view text);
std::string lower(std::string_view text);  // ASCII only; the rest stays
std::string upper(std::string_view text);

// "text" in double quotes with backslash escapes, as the reference builder prints user input.
std::string quoted(std::string_view text);

}  // namespace shale::dockerfile
