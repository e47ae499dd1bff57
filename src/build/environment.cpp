#include "environment.hpp"

#include <algorithm>

namespace shale::build {

Environment Environment::from_list(const std::vector<std::string>& entries) {
    Environment environment;
    for (const auto& entry : entries) {
        const auto equals = entry.find('=');
        if (equals == std::string::npos)
            environment.set(entry, "");
        else
            environment.set(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return environment;
}

void Environment::set(std::string_view key, std::string_view value) {
    for (auto& pair : pairs_)
        if (pair.key == key) {
            pair.value = value;
            return;
        }
    pairs_.push_back({std::string(key), std::string(value)});
}

void Environment::unset(std::string_view key) {
    std::erase_if(pairs_, [&](const KeyValue& pair) { return pair.key == key; });
}

std::optional<std::string> Environment::get(std::string_view key) const {
    for (const auto& pair : pairs_)
        if (pair.key == key) return pair.value;
    return std::nullopt;
}

std::vector<std::string> Environment::list() const {
    std::vector<std::string> entries;
    entries.reserve(pairs_.size());
    for (const auto& pair : pairs_)
        entries.push_back(pair.key + "=" + pair.value);
    return entries;
}

}  // namespace shale::build
