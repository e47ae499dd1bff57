// The pattern side of ${name#pattern}, ${name%pattern} and ${name/pattern/text}.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shale::dockerfile {

// What anything may expand to. A few lines of ENV A=$A$A would otherwise fill the memory.
inline constexpr std::size_t kMaxExpandedBytes = 16 << 20;
[[noreturn]] void reject_expansion();

// In all three `pattern` is a shell wildcard: '*' any run, '?' one character, backslash in front of
// those, of itself, of '/' and of '}'. Brackets are literal. Rejects any other escape.

std::string strip_prefix(std::string_view value, std::string_view pattern, bool longest);
std::string strip_suffix(std::string_view value, std::string_view pattern, bool longest);
// The first match, or all of them; a match is as long as it can be. `text` is taken literally.
// Rejects a result of more than kMaxExpandedBytes.
std::string replace_matches(std::string_view value, std::string_view pattern, std::string_view text,
                            bool all);

}  // namespace shale::dockerfile
