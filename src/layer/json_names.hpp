// Names are bytes, JSON strings are Unicode: the bijection between them, and base64.
//
// A byte that is not part of valid UTF-8 becomes the private-use code point U+10F700 + byte, that
// is U+10F780..U+10F7FF. A name that really contains one of those code points has it escaped byte
// by byte as well, so every byte string has exactly one written form and comes back unchanged.
#pragma once

#include <string>
#include <string_view>

namespace shale::layer {

// Appends `bytes` as a quoted JSON string.
void append_json_name(std::string& out, std::string_view bytes);
// The bytes for the (already unquoted, valid UTF-8) text of a JSON string.
std::string bytes_of_json_name(std::string_view text);

// True if append_json_name() writes `bytes` as they are, for readers that do not know our escapes.
bool is_json_name(std::string_view bytes);

void append_base64(std::string& out, std::string_view bytes);
// False if `text` is not padded base64.
bool decode_base64(std::string_view text, std::string& bytes);

}  // namespace shale::layer
