// The exec form: a JSON array of strings, and nothing else of JSON.
#pragma once

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

}  // namespace shale::dockerfile
