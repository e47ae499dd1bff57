// Reading a build record: values of a step's fields, and what made a root.
#pragma once

#include <shale/build_record.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

using Values = std::vector<std::string>;

// The beginning of a text, on one line.
inline std::string shown(std::string_view text) {
    constexpr std::size_t kShownValue = 60;
    std::string out;
    for (const char c : text.substr(0, kShownValue))
        out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
    return text.size() > kShownValue ? out + "..." : out;
}

inline Values values_of(const std::vector<RecordedInput>& inputs, std::string_view name) {
    Values values;
    for (const auto& input : inputs)
        if (input.name == name) values.push_back(input.value);
    return values;
}

inline std::string first_of(const std::vector<RecordedInput>& inputs, std::string_view name) {
    const auto values = values_of(inputs, name);
    return values.empty() ? std::string() : values.front();
}

// What a RUN sees, or what another instruction mentions.
inline std::map<std::string, std::string> variables_of(const RecordedStep& step) {
    std::map<std::string, std::string> out;
    for (const auto& entry : values_of(step.inputs, "env")) {
        const auto equals = entry.find('=');
        if (equals != std::string::npos) out[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
    for (const auto& [name, value] : step.values)
        out.try_emplace(name, value);
    return out;
}

inline bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::ranges::find(list, text) != list.end();
}

// By its key in hex digits; null if the record does not tell.
inline const RecordedRoot* find_root(const BuildRecord& build, const std::string& hex) {
    const auto key = Digest::from_hex(hex);
    const auto found = key ? build.roots.find(*key) : build.roots.end();
    return found == build.roots.end() ? nullptr : &found->second;
}

// The step that made the root; of one laid over another, the upper.
inline const RecordedStep* last_step_in(const BuildRecord& build, const RecordedRoot& root,
                                        unsigned depth = 0) {
    if (root.kind == RecordedRoot::Kind::Step) return build.step(root.step);
    if (root.kind != RecordedRoot::Kind::LaidOver || depth > 1000) return nullptr;
    for (const auto& part : {root.upper, root.lower})
        if (const auto* found = find_root(build, part.hex()))
            if (const auto* step = last_step_in(build, *found, depth + 1)) return step;
    return nullptr;
}

}  // namespace shale::build
