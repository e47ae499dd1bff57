// JSON as the commands print it.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace shale::cli {

// Bytes of strings that are no UTF-8 become U+FFFD, control characters that JSON would let through
// (DEL, and the eight-bit ones, U+009B among them, which begins what a terminal obeys) are escaped.
std::string escape_controls(std::string json);

// With a line end. `indent` -1: on one line.
template <typename Json>
std::string json_text(const Json& value, int indent = 2) {
    return escape_controls(value.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace shale::cli
