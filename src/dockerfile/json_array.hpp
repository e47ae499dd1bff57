// The two bits of JSON a Dockerfile may hold: the exec form, an array of strings; and, as a whole
// file, an object that names its syntax.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

struct JsonArray {
    enum class Outcome {
        NotJson,     // not an array, or not well-formed: the caller takes the text as shell form
        NotStrings,  // a well-formed array with an element that is not a string: a hard error
        Strings,
    };
    Outcome outcome = Outcome::NotJson;
    std::vector<std::string> values;  // for Strings
};

// Reads `text` as one JSON array, to its end. Bytes that are not UTF-8 are kept as they are: paths
// and arguments are bytes. A lone surrogate escape becomes U+FFFD.
JsonArray read_json_array(std::string_view text);

// `values` as such an array, on one line; reading it gives `values` again.
std::string write_json_array(const std::vector<std::string>& values);

// The string member `key` of `text`, if that is one JSON object to its end.
std::optional<std::string> read_json_member(std::string_view text, std::string_view key);

}  // namespace shale::dockerfile
