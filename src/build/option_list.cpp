#include "option_list.hpp"

#include <charconv>
#include <utility>

namespace shale::build {
namespace {

// The fields of one CSV record: one in quotes may hold commas, and "" for a quote.
std::vector<std::string> split_record(std::string_view flag, std::string_view text) {
    std::vector<std::string> fields;
    std::string field;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"')
            field += text[++i];
        else if (c == '"' && (quoted || field.empty()))
            quoted = !quoted;
        else if (c == ',' && !quoted)
            fields.push_back(std::exchange(field, {}));
        else
            field += c;
    }
    if (quoted)
        fail(ErrorKind::Invalid,
             std::string(flag) + ": a quote is not closed in " + std::string(text));
    fields.push_back(std::move(field));
    return fields;
}

}  // namespace

std::vector<KeyValue> split_options(std::string_view flag, std::string_view text) {
    std::vector<KeyValue> pairs;
    for (const auto& field : split_record(flag, text)) {
        const auto equals = field.find('=');
        if (equals == std::string::npos)
            fail(ErrorKind::Invalid,
                 std::string(flag) + ": invalid value \"" + field + "\", expected key=value");
        pairs.push_back({field.substr(0, equals), field.substr(equals + 1)});
    }
    return pairs;
}

bool parse_boolean(std::string_view flag, const KeyValue& pair) {
    for (const char* yes : {"true", "1", "t", "T", "TRUE", "True"})
        if (pair.value == yes) return true;
    for (const char* no : {"false", "0", "f", "F", "FALSE", "False"})
        if (pair.value == no) return false;
    fail(ErrorKind::Invalid,
         std::string(flag) + ": " + pair.key + "=" + pair.value + " is not a boolean");
}

std::optional<std::int64_t> parse_whole_number(const std::string& text) {
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error != std::errc{} || stop != end ? std::nullopt : std::optional(value);
}

int parse_compression_level(const KeyValue& pair) {
    const auto level = parse_whole_number(pair.value);
    if (!level || *level < -100 || *level > 100)
        fail(ErrorKind::Invalid, "unsupported or non-integer compression-level: " + pair.value);
    return static_cast<int>(*level);
}

layer::Form parse_layer_form(std::string_view flag, const KeyValue& pair) {
    if (pair.value == "nydus")
        fail(ErrorKind::Unsupported, std::string(flag) +
                                         ": compression=nydus is not implemented; zstd layers are "
                                         "seekable as they are");
    return layer::parse_form(pair.value);
}

void refuse_option(std::string_view flag, const std::string& key,
                   const std::vector<std::string>& known) {
    const auto hint = nearest_match(key, known);
    fail(ErrorKind::Invalid, std::string(flag) + ": option \"" + key + "\" is not known" +
                                 (hint.empty() ? "" : " (did you mean " + hint + "?)"));
}

}  // namespace shale::build
