// Arguments of flags that are a CSV record of key=value pairs.
#pragma once

#include <shale/build_options.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// Go's booleans: 1, t, true and 0, f, false. Invalid for others.
bool parse_boolean(std::string_view flag, const KeyValue& pair);

std::optional<std::int64_t> parse_whole_number(const std::string& text);

// Whether the compression has such a level is looked at when that is known.
int parse_compression_level(const KeyValue& pair);

// Unsupported for formats of layers that others have.
layer::Form parse_layer_form(std::string_view flag, const KeyValue& pair);

// Finds the setter of each option in a table and calls it; an option that is not there is Invalid,
// with the nearest one as a hint.
template <typename Value>
using OptionTable =
    std::map<std::string, std::function<void(Value&, const KeyValue&)>, std::less<>>;

[[noreturn]] void refuse_option(std::string_view flag, const std::string& key,
                                const std::vector<std::string>& known);

template <typename Value>
void set_options(std::string_view flag, const OptionTable<Value>& table, Value& value,
                 const std::vector<KeyValue>& pairs) {
    for (const auto& pair : pairs) {
        if (const auto setter = table.find(pair.key); setter != table.end()) {
            setter->second(value, pair);
            continue;
        }
        std::vector<std::string> known;
        for (const auto& [name, setter] : table)
            known.push_back(name);
        refuse_option(flag, pair.key, known);
    }
}

}  // namespace shale::build
