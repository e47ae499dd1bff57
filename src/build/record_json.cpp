// The text form of a build record. Decoding is for foreign bytes too: `shale why --against FILE`
// reads what another machine wrote. Counts are bounded here, depth and values by oci::Json.
#include "key.hpp"

#include <shale/build_record.hpp>
#include <shale/codec.hpp>
#include <shale/dockerfile.hpp>
#include <shale/http.hpp>
#include <shale/oci.hpp>

#include <nlohmann/json.hpp>

#include <array>

namespace shale::build {
namespace {

using Out = nlohmann::ordered_json;
using oci::Json;
using State = RecordedStep::State;
using Kind = RecordedRoot::Kind;

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kMostSteps = 20'000;
constexpr std::size_t kMostItems = 20'000;   // of any other list
constexpr std::size_t kLongestValue = 1024;  // longer ones are kept as their digests
constexpr std::array<std::string_view, 4> kStates = {"cached", "executed", "failed", "cancelled"};
constexpr std::array<std::string_view, 3> kOutcomes = {"completed", "failed", "cancelled"};
constexpr std::array<std::string_view, 5> kKinds = {"scratch", "image", "step", "laid-over",
                                                    "source"};

template <typename Enum, std::size_t N>
std::string word_of(const std::array<std::string_view, N>& words, Enum value) {
    return std::string(words.at(static_cast<std::size_t>(value)));
}
template <typename Enum, std::size_t N>
Enum enum_of(const std::array<std::string_view, N>& words, const Json& json) {
    const auto text = json.string();
    for (std::size_t i = 0; i < N; ++i)
        if (words[i] == text) return static_cast<Enum>(i);
    json.corrupt("unknown word \"" + text + "\"");
}

// --- writing
// --------------------------------------------------------------------------------------

Out pairs(const std::vector<std::pair<std::string, std::string>>& list) {
    Out out = Out::array();
    for (const auto& [name, value] : list)
        out.push_back({name, value});
    return out;
}

Out inputs(const std::vector<RecordedInput>& list) {
    Out out = Out::array();
    for (const auto& input : list) {
        Out item = Out::array({input.name, input.value});
        if (input.is_digest) item.push_back("digest");
        out.push_back(std::move(item));
    }
    return out;
}

Out encode_selection(const FileSelection& read) {
    Out out = {{"operands", read.operands}};
    if (read.context.empty())
        out["root"] = read.root.hex();
    else
        out["directory"] = read.context;
    if (!read.excludes.empty()) out["excludes"] = read.excludes;
    if (read.parents) out["parents"] = true;
    if (read.is_mount) out["mount"] = true;
    if (!read.owner) out["owner"] = false;
    if (!read.mode) out["mode"] = false;
    return out;
}

Out encode_step(const RecordedStep& step) {
    Out out = {{"number", step.number},
               {"name", step.name},
               {"stage", step.stage},
               {"stageIndex", step.stage_index},
               {"line", step.line},
               {"instruction", step.instruction},
               {"platform", step.platform},
               {"state", word_of(kStates, step.state)},
               {"byContent", step.by_content},
               {"mayUseCache", step.may_use_cache},
               {"startedNs", step.started_ns},
               {"finishedNs", step.finished_ns},
               {"costMs", step.cost_ms},
               {"key", step.key.hex()},
               {"root", step.root.hex()},
               {"tree", step.tree.hex()}};
    if (step.layer) {
        out["layer"] = step.layer->hex();
        out["layerBytes"] = step.layer_bytes;
        out["tarBytes"] = step.tar_bytes;
        out["compressedBytes"] = step.compressed_bytes;
    }
    out["inputs"] = inputs(step.inputs);
    out["contents"] = inputs(step.contents);
    out["files"] = Out::array();
    for (const auto& read : step.files)
        out["files"].push_back(encode_selection(read));
    out["arguments"] = step.arguments;
    out["values"] = pairs(step.values);
    if (!step.error.empty()) out["error"] = step.error;
    out["hasLog"] = step.has_log;
    return out;
}

Out encode_root(const Digest& key, const RecordedRoot& root) {
    Out out = {{"key", key.hex()}, {"kind", word_of(kKinds, root.kind)}};
    if (!root.reference.empty()) out["reference"] = root.reference;
    if (!root.digest.is_zero()) out["digest"] = root.digest.hex();
    if (root.kind == Kind::Step) out["step"] = root.step;
    if (root.kind == Kind::LaidOver) {
        out["lower"] = root.lower.hex();
        out["upper"] = root.upper.hex();
    }
    return out;
}

// --- reading
// --------------------------------------------------------------------------------------

Json member(const Json& json, const char* name) {
    if (auto found = json.find(name)) return *found;
    json.corrupt(std::string("no \"") + name + "\"");
}
std::string text(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found ? found->string() : std::string();
}
std::int64_t number(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found ? found->integer() : 0;
}
std::uint32_t small_number(const Json& json, const char* name) {
    const auto value = number(json, name);
    if (value < 0 || value > 0xffff'ffff) json.corrupt(std::string(name) + " is out of range");
    return static_cast<std::uint32_t>(value);
}
bool flag(const Json& json, const char* name, bool otherwise = false) {
    const auto found = json.find(name);
    return found ? found->boolean() : otherwise;
}
Digest digest_of(const Json& json) {
    const auto digest = Digest::from_hex(json.string());
    if (!digest) json.corrupt("not 64 hex digits");
    return *digest;
}
Digest digest(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found ? digest_of(*found) : Digest{};
}
std::vector<Json> items(const Json& json, const char* name, std::size_t most = kMostItems) {
    const auto found = json.find(name);
    if (!found) return {};
    auto list = found->items();
    if (list.size() > most) found->corrupt("too many items");
    return list;
}
std::vector<std::string> strings(const Json& json, const char* name) {
    std::vector<std::string> out;
    for (const auto& item : items(json, name))
        out.push_back(item.string());
    return out;
}
std::vector<std::pair<std::string, std::string>> decode_pairs(const Json& json, const char* name) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& item : items(json, name)) {
        const auto parts = item.items();
        if (parts.size() != 2) item.corrupt("not a pair");
        out.emplace_back(parts[0].string(), parts[1].string());
    }
    return out;
}
std::vector<RecordedInput> decode_inputs(const Json& json, const char* name) {
    std::vector<RecordedInput> out;
    for (const auto& item : items(json, name)) {
        const auto parts = item.items();
        if (parts.size() != 2 && parts.size() != 3) item.corrupt("not an input");
        out.push_back({parts[0].string(), parts[1].string(), parts.size() == 3});
    }
    return out;
}

FileSelection decode_selection(const Json& json) {
    FileSelection read;
    read.context = text(json, "directory");
    read.root = digest(json, "root");
    read.operands = strings(json, "operands");
    read.excludes = strings(json, "excludes");
    read.parents = flag(json, "parents");
    read.is_mount = flag(json, "mount");
    read.owner = flag(json, "owner", true);
    read.mode = flag(json, "mode", true);
    return read;
}

RecordedStep decode_step(const Json& json) {
    RecordedStep step;
    step.number = small_number(json, "number");
    step.name = text(json, "name");
    step.stage = text(json, "stage");
    step.stage_index = small_number(json, "stageIndex");
    step.line = small_number(json, "line");
    step.instruction = text(json, "instruction");
    step.platform = text(json, "platform");
    step.state = enum_of<State>(kStates, member(json, "state"));
    step.by_content = flag(json, "byContent");
    step.may_use_cache = flag(json, "mayUseCache", true);
    step.started_ns = number(json, "startedNs");
    step.finished_ns = number(json, "finishedNs");
    step.cost_ms = number(json, "costMs");
    step.key = digest(json, "key");
    step.root = digest(json, "root");
    step.tree = digest(json, "tree");
    if (const auto layer = json.find("layer")) step.layer = digest_of(*layer);
    step.layer_bytes = static_cast<std::uint64_t>(number(json, "layerBytes"));
    step.tar_bytes = static_cast<std::uint64_t>(number(json, "tarBytes"));
    step.compressed_bytes = static_cast<std::uint64_t>(number(json, "compressedBytes"));
    step.inputs = decode_inputs(json, "inputs");
    step.contents = decode_inputs(json, "contents");
    for (const auto& read : items(json, "files"))
        step.files.push_back(decode_selection(read));
    step.arguments = strings(json, "arguments");
    step.values = decode_pairs(json, "values");
    step.error = text(json, "error");
    step.has_log = flag(json, "hasLog");
    return step;
}

std::pair<Digest, RecordedRoot> decode_root(const Json& json) {
    RecordedRoot root;
    root.kind = enum_of<Kind>(kKinds, member(json, "kind"));
    root.reference = text(json, "reference");
    root.digest = digest(json, "digest");
    root.step = small_number(json, "step");
    root.lower = digest(json, "lower");
    root.upper = digest(json, "upper");
    return {digest(json, "key"), root};
}

void decode_lists(const Json& json, BuildRecord& record) {
    for (const auto& step : items(json, "steps", kMostSteps)) {
        record.steps.push_back(decode_step(step));
        if (record.steps.back().number != record.steps.size()) step.corrupt("out of order");
    }
    for (const auto& item : items(json, "directories"))
        record.directories[text(item, "name")] = {text(item, "path"), digest(item, "tree"),
                                                  text(item, "ignore")};
    for (const auto& item : items(json, "roots"))
        record.roots.insert(decode_root(item));
    for (const auto& item : items(json, "work"))
        record.work.push_back(
            {text(item, "name"), number(item, "startedNs"), number(item, "finishedNs")});
}

}  // namespace

std::string shown_value(std::string_view name, const std::string& value) {
    // A proxy or a repository with a password in it is a secret under any name.
    const bool is_hidden = dockerfile::looks_secret(name) || http::without_password(value) != value;
    return is_hidden || value.size() > kLongestValue ? codec::sha256(value).str() : value;
}

RecordedInput recorded_input(const std::string& name, const std::string& value) {
    if (name != "env") {
        if (value.size() <= kLongestValue) return {name, value, false};
        return {name, codec::sha256(value).str(), true};
    }
    const auto equals = std::min(value.find('='), value.size());
    const auto variable = value.substr(0, equals);
    const auto rest = value.substr(std::min(equals + 1, value.size()));
    const auto shown = shown_value(variable, rest);
    return {name, variable + "=" + shown, shown != rest};
}

std::uint32_t BuildRecord::cached_steps() const {
    std::uint32_t count = 0;
    for (const auto& step : steps)
        count += step.was_missed() ? 0 : 1;
    return count;
}

const RecordedStep* BuildRecord::step(std::uint32_t number) const {
    return number >= 1 && number <= steps.size() ? &steps[number - 1] : nullptr;
}

Digest failed_step_key(const Digest& definition_key) {
    return Key("failed-step").add("step", definition_key).finish();
}

std::string encode(const BuildRecord& record) {
    Out out = {{"shaleBuildRecord", kVersion},
               {"id", record.id},
               {"startedNs", record.started_ns},
               {"finishedNs", record.finished_ns},
               {"outcome", word_of(kOutcomes, record.outcome)},
               {"error", record.error},
               {"context", record.context},
               {"dockerfile", record.dockerfile},
               {"target", record.target},
               {"platforms", record.platforms},
               {"arguments", pairs(record.arguments)},
               {"tags", record.tags},
               {"image", record.image},
               {"imageBytes", record.image_bytes}};
    out["steps"] = Out::array();
    for (const auto& step : record.steps)
        out["steps"].push_back(encode_step(step));
    out["directories"] = Out::array();
    for (const auto& [name, directory] : record.directories)
        out["directories"].push_back({{"name", name},
                                      {"path", directory.path},
                                      {"tree", directory.tree.hex()},
                                      {"ignore", directory.ignore}});
    out["roots"] = Out::array();
    for (const auto& [key, root] : record.roots)
        out["roots"].push_back(encode_root(key, root));
    out["work"] = Out::array();
    for (const auto& work : record.work)
        out["work"].push_back({{"name", work.name},
                               {"startedNs", work.started_ns},
                               {"finishedNs", work.finished_ns}});
    return out.dump(-1, ' ', false, Out::error_handler_t::replace);
}

BuildRecord decode_build_record(std::string_view encoded) {
    const auto json = Json::parse(encoded, "build record");
    const auto version = member(json, "shaleBuildRecord").integer();
    if (version != kVersion)
        fail(ErrorKind::Unsupported, "build record of version " + std::to_string(version) +
                                         "; this program knows " + std::to_string(kVersion));
    BuildRecord record;
    record.id = text(json, "id");
    record.started_ns = number(json, "startedNs");
    record.finished_ns = number(json, "finishedNs");
    record.outcome = enum_of<BuildRecord::Outcome>(kOutcomes, member(json, "outcome"));
    record.error = text(json, "error");
    record.context = text(json, "context");
    record.dockerfile = text(json, "dockerfile");
    record.target = text(json, "target");
    record.platforms = text(json, "platforms");
    record.arguments = decode_pairs(json, "arguments");
    record.tags = strings(json, "tags");
    record.image = text(json, "image");
    record.image_bytes = static_cast<std::uint64_t>(number(json, "imageBytes"));
    decode_lists(json, record);
    return record;
}

}  // namespace shale::build
