#include "go_text.hpp"

#include <fmt/format.h>

namespace shale::build {
namespace {

// The letter that Go writes behind a backslash, 0 if it has none.
char escape_letter(char c) {
    constexpr std::string_view kControls = "\a\b\f\n\r\t\v\\\"", kLetters = "abfnrtv\\\"";
    const auto at = kControls.find(c);
    return at == std::string_view::npos ? '\0' : kLetters[at];
}

}  // namespace

std::string go_quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (const char letter = escape_letter(c))
            out += {'\\', letter};
        else if (byte < 0x20 || byte == 0x7f)
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out + '"';
}

}  // namespace shale::build
