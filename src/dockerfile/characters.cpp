// Character classes, UTF-8 and quoting.
//
// A Dockerfile is meant to be UTF-8 but nothing makes it so, and paths are bytes. So decoding never
// fails and never replaces: a bad byte becomes a rune of its own that encodes back to that byte.
// The table of letters lives in letters.cpp.
#include "characters.hpp"

#include "letters.hpp"

#include <shale/utf8.hpp>

#include <fmt/format.h>

namespace shale::dockerfile {
namespace {

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

Rune bad_byte(char c) {
    return {kBadByte + static_cast<unsigned char>(c), 1};
}

}  // namespace

Rune decode_rune(std::string_view text) {
    char32_t value = 0;
    const auto character = first_character(text, value);
    return character.empty() ? bad_byte(text[0]) : Rune{value, character.size()};
}

void append_rune(std::string& out, char32_t rune) {
    const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (rune >= kBadByte) return put(rune - kBadByte);
    if (rune < 0x80) return put(rune);
    if (rune < 0x800) {
        put(0xC0 | rune >> 6);
    } else {
        if (rune < 0x10000) {
            put(0xE0 | rune >> 12);
        } else {
            put(0xF0 | rune >> 18);
            put(0x80 | (rune >> 12 & 0x3F));
        }
        put(0x80 | (rune >> 6 & 0x3F));
    }
    put(0x80 | (rune & 0x3F));
}

std::u32string to_runes(std::string_view text) {
    std::u32string runes;
    runes.reserve(text.size());
    while (!text.empty()) {
        const Rune rune = decode_rune(text);
        runes.push_back(rune.value);
        text.remove_prefix(rune.bytes);
    }
    return runes;
}

std::string to_utf8(std::u32string_view runes) {
    std::string out;
    out.reserve(runes.size());
    for (char32_t rune : runes)
        append_rune(out, rune);
    return out;
}

bool is_space(char32_t rune) {
    if (rune < 0x80) return rune == ' ' || (rune >= '\t' && rune <= '\r');
    return rune == 0x85 || rune == 0xA0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200A) ||
           rune == 0x2028 || rune == 0x2029 || rune == 0x202F || rune == 0x205F || rune == 0x3000;
}

bool is_letter(char32_t rune) {
    if (rune < 0x80) return (rune | 0x20) >= 'a' && (rune | 0x20) <= 'z';
    return is_wide_letter(rune);
}

bool is_digit(char32_t rune) {
    return rune < 0x80 ? rune >= '0' && rune <= '9' : is_wide_digit(rune);
}

std::string_view trim_left(std::string_view text) {
    while (!text.empty()) {
        const Rune rune = decode_rune(text);
        if (!is_space(rune.value)) break;
        text.remove_prefix(rune.bytes);
    }
    return text;
}

std::string_view trim(std::string_view text) {
    text = trim_left(text);
    while (!text.empty()) {
        std::size_t start = text.size() - 1;
        while (start > 0 && text.size() - start < 4 && is_continuation(text[start]))
            --start;
        const Rune rune = decode_rune(text.substr(start));
        if (start + rune.bytes != text.size() || !is_space(rune.value)) break;
        text.remove_suffix(rune.bytes);
    }
    return text;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}

std::string quoted(std::string_view text) {
    constexpr std::string_view kShort = "a\ab\bf\fn\nr\rt\tv\v";  // letter, then what it stands for
    std::string out = "\"";
    while (!text.empty()) {
        const Rune rune = decode_rune(text);
        const std::string_view piece = text.substr(0, rune.bytes);
        text.remove_prefix(rune.bytes);
        const auto short_form = rune.value < ' ' ? kShort.find(piece[0]) : std::string_view::npos;
        if (rune.value == '"' || rune.value == '\\')
            out.append("\\").append(piece);
        else if (short_form != std::string_view::npos)
            out.append("\\").push_back(kShort[short_form - 1]);
        else if (rune.value < ' ' || rune.value == 0x7F || rune.value >= kBadByte)
            out.append(fmt::format("\\x{:02x}", static_cast<unsigned char>(piece[0])));
        else if (rune.value >= 0x80 && rune.value < 0xA0)
            out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(rune.value)));
        else
            out.append(piece);
    }
    return out.append("\"");
}

}  // namespace shale::dockerfile
