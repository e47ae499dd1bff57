// Reading a build record: values of a step's fields, and what made a root.
#pragma once

#include <shale/build_record.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
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

// Both sides of a change, from shortly before where they begin to differ: long texts often have the
// same beginning.
inline std::pair<std::string, std::string> shown_difference(std::string_view now,
                                                            std::string_view before) {
    constexpr std::size_t kLead = 20;
    const auto differs = std::mismatch(now.begin(), now.end(), before.begin(), before.end()).first;
    const auto same = static_cast<std::size_t>(differs - now.begin());
    const auto begin = same > 2 * kLead ? same - kLead : 0;
    const std::string cut = begin > 0 ? "..." : "";
    return {cut + shown(now.substr(begin)), cut + shown(before.substr(begin))};
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
// A record may be a stranger's, with roots laid over each other in any way: each is looked at once.
inline const RecordedStep* last_step_in(const BuildRecord& build, const RecordedRoot& root) {
    std::set<const RecordedRoot*> seen;
    std::vector<const RecordedRoot*> waiting{&root};
    while (!waiting.empty()) {
        const auto* next = waiting.back();
        waiting.pop_back();
        if (next->kind == RecordedRoot::Kind::Step) {
            if (const auto* step = build.step(next->step)) return step;
        }
        if (next->kind != RecordedRoot::Kind::LaidOver || !seen.insert(next).second) continue;
        for (const auto& part : {next->lower, next->upper})  // the upper is looked at first
            if (const auto* found = find_root(build, part.hex())) waiting.push_back(found);
    }
    return nullptr;
}

}  // namespace shale::build
