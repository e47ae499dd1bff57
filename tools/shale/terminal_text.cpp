// Escape stripping, width of characters and line assembly.
//
// printable() is a filter over decoded characters with one rule: what it does not know to be
// harmless, it drops. Sequences are recognised by the ECMA-48 grammar only to drop their parameters
// too; a malformed one ends at the first byte that does not fit, never later than the line. Widths
// come from the ranges of Unicode's East Asian Width and of the zero-width marks that occur in
// practice; an unknown character counts as one column, and a wrong guess costs a ragged line.
#include "terminal_text.hpp"

#include <shale/utf8.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace shale::cli {

namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr std::size_t kTabColumns = 8;

struct Decoded {
    char32_t character;
    std::size_t bytes;
};

Decoded decode(std::string_view text) {
    char32_t value = 0;
    const auto character = first_character(text, value);
    return character.empty() ? Decoded{kReplacement, 1} : Decoded{value, character.size()};
}

bool is_dangerous(char32_t character) {
    if (character == '\t') return false;
    if (is_control(character)) return true;
    if (character == 0x2028 || character == 0x2029) return true;  // line and paragraph separators
    if (character == 0x200E || character == 0x200F || character == 0x061C) return true;
    return (character >= 0x202A && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);  // they reorder the text around them
}

bool in_range(char byte, unsigned low, unsigned high) {
    const auto value = static_cast<unsigned char>(byte);
    return value >= low && value <= high;
}

// Bytes of the string sequence (title, hyperlink, device control) whose introducer is at `at`.
std::size_t skip_string(std::string_view line, std::size_t at) {
    while (at < line.size()) {
        if (line[at] == '\a') return at + 1;
        if (line[at] == '\x1b') return at + 1 < line.size() && line[at + 1] == '\\' ? at + 2 : at;
        ++at;
    }
    return at;
}

// `at` is behind an ESC; returns the first position behind the sequence.
std::size_t skip_escape(std::string_view line, std::size_t at) {
    if (at >= line.size()) return at;
    if (line[at] == '[') {
        ++at;
        while (at < line.size() && in_range(line[at], 0x20, 0x3F))
            ++at;
        return at < line.size() && in_range(line[at], 0x40, 0x7E) ? at + 1 : at;
    }
    if (std::string_view("]PX^_").find(line[at]) != std::string_view::npos)
        return skip_string(line, at + 1);
    while (at < line.size() && in_range(line[at], 0x20, 0x2F))
        ++at;
    return at < line.size() && in_range(line[at], 0x30, 0x7E) ? at + 1 : at;
}

// What a progress bar drawn with carriage returns shows in the end. A message of several lines is
// none: of that everything matters.
std::string_view last_rewrite(std::string_view line) {
    if (line.find('\n') != std::string_view::npos) return line;
    while (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    const auto at = line.rfind('\r');
    return at == std::string_view::npos ? line : line.substr(at + 1);
}

struct Range {
    char32_t first, last;
};

bool contains(const auto& ranges, char32_t character) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const Range& range) {
        return character >= range.first && character <= range.last;
    });
}

std::size_t character_width(char32_t character) {
    static constexpr std::array<Range, 9> kZero = {{{0x0300, 0x036F},
                                                    {0x0483, 0x0489},
                                                    {0x0591, 0x05BD},
                                                    {0x200B, 0x200F},
                                                    {0x20D0, 0x20F0},
                                                    {0xFE00, 0xFE0F},
                                                    {0xFE20, 0xFE2F},
                                                    {0xFEFF, 0xFEFF},
                                                    {0xE0100, 0xE01EF}}};
    static constexpr std::array<Range, 14> kWide = {{{0x1100, 0x115F},
                                                     {0x231A, 0x231B},
                                                     {0x23E9, 0x23EC},
                                                     {0x2E80, 0x303E},
                                                     {0x3041, 0x33FF},
                                                     {0x3400, 0x4DBF},
                                                     {0x4E00, 0xA4CF},
                                                     {0xA960, 0xA97C},
                                                     {0xAC00, 0xD7A3},
                                                     {0xF900, 0xFAFF},
                                                     {0xFE30, 0xFE6F},
                                                     {0xFF00, 0xFF60},
                                                     {0x1F300, 0x1FAFF},
                                                     {0x20000, 0x3FFFD}}};
    if (character < 0x300) return 1;
    if (contains(kZero, character)) return 0;
    return contains(kWide, character) ? 2 : 1;
}

std::size_t advance(std::size_t column, char32_t character) {
    if (character == '\t') return (column / kTabColumns + 1) * kTabColumns;
    return column + character_width(character);
}

}  // namespace

std::string printable(std::string_view line) {
    line = last_rewrite(line);
    std::string out;
    out.reserve(line.size());
    std::size_t at = 0;
    while (at < line.size()) {
        if (line[at] == '\x1b') {
            at = skip_escape(line, at + 1);
            continue;
        }
        const Decoded decoded = decode(line.substr(at));
        if (decoded.character == '\n')
            out.push_back(' ');
        else if (decoded.character == kReplacement)
            out.append("\xEF\xBF\xBD");
        else if (!is_dangerous(decoded.character))
            out.append(line.substr(at, decoded.bytes));
        at += decoded.bytes;
    }
    return out;
}

std::string printable_message(std::string_view text) {
    std::string shown;
    for (const char c : text)
        c == '\r' ? shown.append("\\r") : shown.append(1, c);
    return printable(shown);
}

std::size_t display_width(std::string_view text) {
    std::size_t column = 0;
    for (std::size_t at = 0; at < text.size();) {
        const Decoded decoded = decode(text.substr(at));
        column = advance(column, decoded.character);
        at += decoded.bytes;
    }
    return column;
}

std::string fit(std::string_view text, std::size_t columns) {
    std::string out;
    if (columns == 0) return out;
    // Where to cut if the text turns out too long: the last state that leaves room for the mark.
    std::size_t cut_bytes = 0;
    std::size_t column = 0;
    for (std::size_t at = 0; at < text.size();) {
        const Decoded decoded = decode(text.substr(at));
        const std::size_t next = advance(column, decoded.character);
        if (next > columns) return out.substr(0, cut_bytes) + "…";
        if (decoded.character == '\t')
            out.append(next - column, ' ');
        else
            out.append(text.substr(at, decoded.bytes));
        if (next < columns) cut_bytes = out.size();
        column = next;
        at += decoded.bytes;
    }
    return out;
}

void LineAssembler::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto newline = bytes.find('\n');
        const auto piece = bytes.substr(0, newline);
        const auto room = kMaxLineBytes - partial_.size();
        const bool complete = newline != std::string_view::npos && piece.size() <= room;
        partial_.append(piece.substr(0, room));
        if (!complete && piece.size() <= room) return;
        bytes.remove_prefix(complete ? newline + 1 : room);
        on_line_(printable(std::exchange(partial_, {})));
    }
}

void LineAssembler::finish() {
    if (!partial_.empty()) on_line_(printable(std::exchange(partial_, {})));
}

std::string LineAssembler::unfinished() const {
    return printable(partial_);
}

std::string with_short_digests(std::string_view text) {
    constexpr std::string_view kPrefix = "sha256:";
    constexpr std::size_t kDigits = 64, kShown = 12;
    std::string out;
    for (;;) {
        const auto at = text.find(kPrefix);
        if (at == std::string_view::npos) return out.append(text);
        const auto digits = at + kPrefix.size();
        const auto end = std::min(text.find_first_not_of("0123456789abcdef", digits), text.size());
        const auto shown = end - digits == kDigits ? digits + kShown : end;
        out.append(text.substr(0, shown));
        text.remove_prefix(end);
    }
}

}  // namespace shale::cli
