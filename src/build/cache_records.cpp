#include "cache_records.hpp"

#include <shale/oci.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace shale::build {
namespace {

using nlohmann::json;
using oci::Json;

constexpr std::string_view kWhat = "cache";

Json required(const Json& object, const std::string& name) {
    auto member = object.find(name);
    if (!member) object.corrupt("no member \"" + name + "\"");
    return *member;
}

Digest digest_at(const Json& value) {
    const auto text = value.string();
    try {
        return Digest::parse(text);
    } catch (const Error&) {
        value.corrupt("not a SHA-256 digest");
    }
}

std::int64_t count_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    if (!member) return 0;
    const auto value = member->integer();
    if (value < 0) member->corrupt("negative");
    return value;
}

CachedStep decode_step(const Json& value, std::size_t layers) {
    CachedStep step;
    step.key = digest_at(required(value, "key"));
    if (const auto content = value.find("content")) step.content_key = digest_at(*content);
    step.tree = digest_at(required(value, "tree"));
    if (const auto layer = value.find("layer")) {
        const auto number = layer->integer();
        if (number < 0 || static_cast<std::uint64_t>(number) >= layers)
            layer->corrupt("the image has " + std::to_string(layers) + " layers");
        step.layer = static_cast<std::size_t>(number);
    }
    const auto created = required(value, "created");
    const auto moment = parse_rfc3339(created.string());
    if (!moment) created.corrupt("not an RFC 3339 time between 1678 and 2261");
    step.created_ns = *moment;
    step.cost_ms = count_at(value, "cost_ms");
    if (const auto name = value.find("name")) {
        step.name = name->string();
        if (step.name.size() > kMaxStepNameBytes) name->corrupt("too long");
    }
    return step;
}

// At most that many bytes, and no half of a character.
std::string cut(std::string text) {
    if (text.size() <= kMaxStepNameBytes) return text;
    std::size_t end = kMaxStepNameBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        --end;
    text.resize(end);
    return text;
}

// Valid UTF-8 whatever the step is called, and no longer than a reader takes.
std::string encoded_name(const std::string& name) {
    const auto printable =
        json::parse(json(name).dump(-1, ' ', false, json::error_handler_t::replace));
    return cut(printable.get<std::string>());
}

}  // namespace

std::string encode_cache(std::vector<CachedStep> steps) {
    if (steps.size() > kMaxCachedSteps)
        fail(ErrorKind::Failed, "a cache of " + std::to_string(steps.size()) +
                                    " steps: " + std::to_string(kMaxCachedSteps) + " are the most");
    std::sort(steps.begin(), steps.end(),
              [](const CachedStep& a, const CachedStep& b) { return a.key < b.key; });
    json list = json::array();
    for (const auto& step : steps) {
        json value = {{"key", step.key.str()},
                      {"tree", step.tree.str()},
                      {"created", format_rfc3339(step.created_ns)},
                      {"name", encoded_name(step.name)}};
        if (step.content_key) value["content"] = step.content_key->str();
        if (step.layer) value["layer"] = *step.layer;
        if (step.cost_ms > 0) value["cost_ms"] = step.cost_ms;
        list.push_back(std::move(value));
    }
    return json{{"steps", std::move(list)}}.dump();
}

std::vector<CachedStep> decode_cache(std::string_view text, std::size_t layers) {
    const auto items = required(Json::parse(text, kWhat), "steps").items();
    if (items.size() > kMaxCachedSteps)
        fail(ErrorKind::Corrupt, std::string(kWhat) + ": " + std::to_string(items.size()) +
                                     " steps: " + std::to_string(kMaxCachedSteps) +
                                     " are the most");
    std::vector<CachedStep> steps;
    for (const auto& item : items)
        steps.push_back(decode_step(item, layers));
    const auto same = [](const CachedStep& a, const CachedStep& b) { return a.key == b.key; };
    std::sort(steps.begin(), steps.end(),
              [](const CachedStep& a, const CachedStep& b) { return a.key < b.key; });
    if (const auto twice = std::adjacent_find(steps.begin(), steps.end(), same);
        twice != steps.end())
        fail(ErrorKind::Corrupt,
             std::string(kWhat) + ": two steps with the key " + twice->key.str());
    return steps;
}

}  // namespace shale::build
