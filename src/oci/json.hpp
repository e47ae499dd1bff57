// What the encoders and decoders of this room share beyond the public Json: the library itself.
#pragma once

#include <shale/oci.hpp>

#include <nlohmann/json.hpp>

namespace shale::oci {

// Compact text; bytes that are not UTF-8 become U+FFFD, as Go's encoder does it, because a
// Dockerfile may carry any byte and a document must not.
std::string dump_text(const nlohmann::json& value);

// Parses under the same bounds as Json::parse.
nlohmann::json parse_bounded(std::string_view text, std::string_view what);

// Readers of optional members; an absent or null member gives the empty value.
std::string string_at(const Json& object, const std::string& name);
std::vector<std::string> strings_at(const Json& object, const std::string& name);
std::map<std::string, std::string> string_map_at(const Json& object, const std::string& name);
bool boolean_at(const Json& object, const std::string& name);
std::int64_t integer_at(const Json& object, const std::string& name);
// Required; Unsupported for a well-formed digest of another algorithm.
Digest digest_of(const Json& value);
Json required(const Json& object, const std::string& name);

}  // namespace shale::oci
