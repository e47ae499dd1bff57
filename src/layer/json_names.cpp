#include "json_names.hpp"

#include <shale/utf8.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace shale::layer {

namespace {

constexpr char32_t kEscapeBase = 0x10F700;
constexpr char32_t kFirstEscape = kEscapeBase + 0x80, kLastEscape = kEscapeBase + 0xff;

struct CodePoint {
    char32_t value = 0;
    std::size_t length = 0;  // 0: the text does not begin with a valid sequence
};

CodePoint first_code_point(std::string_view text) {
    char32_t value = 0;
    const auto character = first_character(text, value);
    return {value, character.size()};
}

void append_escaped_byte(std::string& out, unsigned char byte) {
    // U+10F780..U+10F7FF are F4 8F 9E 80 .. F4 8F 9F BF.
    out.append("\xf4\x8f");
    out.push_back(static_cast<char>(0x9c | byte >> 6));
    out.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
}

bool is_plain(char c) {
    return c >= ' ' && c < '\x7f' && c != '"' && c != '\\';
}

void append_ascii(std::string& out, char c) {
    if (c == '"' || c == '\\') {
        out.push_back('\\');
        out.push_back(c);
    } else if (c < ' ' || c == '\x7f') {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
        out.push_back(c);
    }
}

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> kSextets = [] {
    std::array<std::int8_t, 256> table{};
    table.fill(-1);
    for (std::int8_t i = 0; i < 64; ++i)
        table[static_cast<unsigned char>(kAlphabet[i])] = i;
    return table;
}();

}  // namespace

void append_json_name(std::string& out, std::string_view bytes) {
    out.push_back('"');
    while (!bytes.empty()) {
        std::size_t plain = 0;
        while (plain < bytes.size() && is_plain(bytes[plain]))
            ++plain;
        out.append(bytes.substr(0, plain));
        bytes.remove_prefix(plain);
        if (bytes.empty()) break;
        const CodePoint point = first_code_point(bytes);
        if (point.length == 1) {
            append_ascii(out, bytes[0]);
            bytes.remove_prefix(1);
        } else if (point.length == 0 ||
                   (point.value >= kFirstEscape && point.value <= kLastEscape)) {
            // One byte at a time: what follows an escaped lead byte is escaped in its turn.
            append_escaped_byte(out, static_cast<unsigned char>(bytes[0]));
            bytes.remove_prefix(1);
        } else {
            out.append(bytes.substr(0, point.length));
            bytes.remove_prefix(point.length);
        }
    }
    out.push_back('"');
}

bool is_json_name(std::string_view bytes) {
    while (!bytes.empty()) {
        const CodePoint point = first_code_point(bytes);
        if (point.length == 0 || (point.value >= kFirstEscape && point.value <= kLastEscape))
            return false;
        bytes.remove_prefix(point.length);
    }
    return true;
}

std::string bytes_of_json_name(std::string_view text) {
    std::string bytes;
    bytes.reserve(text.size());
    while (!text.empty()) {
        const CodePoint point = first_code_point(text);
        const std::size_t length = point.length == 0 ? 1 : point.length;
        if (point.value >= kFirstEscape && point.value <= kLastEscape) {
            bytes.push_back(static_cast<char>(point.value - kEscapeBase));
        } else {
            bytes.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    return bytes;
}

void append_base64(std::string& out, std::string_view bytes) {
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : bytes) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6)
            out.push_back(kAlphabet[bits >> (count - 6) & 63]);
    }
    if (count > 0) out.push_back(kAlphabet[bits << (6 - count) & 63]);
    out.append((3 - bytes.size() % 3) % 3, '=');
}

bool decode_base64(std::string_view text, std::string& bytes) {
    bytes.clear();
    if (text.size() % 4 != 0) return false;
    for (int padding = 0; padding < 2 && text.ends_with('='); ++padding)
        text.remove_suffix(1);
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const std::int8_t sextet = kSextets[static_cast<unsigned char>(c)];
        if (sextet < 0) return false;
        bits = bits << 6 | static_cast<std::uint32_t>(sextet);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        bytes.push_back(static_cast<char>(bits >> count & 0xff));
    }
    return (bits & ((1u << count) - 1)) == 0;
}

}  // namespace shale::layer
