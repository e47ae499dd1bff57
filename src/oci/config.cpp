// Image configs: the OCI fields, Docker's extensions (Healthcheck, OnBuild, Shell), and everything
// else kept word for word, because an image built FROM another must not lose what it cannot name.
//
// One table-like function per direction and per object; a member added to one belongs into the
// other and into the list of known names, and config_test's round trip says so if it is forgotten.
#include "json.hpp"

#include <algorithm>
#include <limits>

namespace shale::oci {
namespace {

using nlohmann::json;

constexpr std::string_view kKnownTop[] = {"architecture", "author", "config",      "created",
                                          "history",      "os",     "os.features", "os.version",
                                          "rootfs",       "variant"};
constexpr std::string_view kKnownConfig[] = {
    "ArgsEscaped", "Cmd",   "Entrypoint", "Env",  "ExposedPorts", "Healthcheck", "Labels",
    "OnBuild",     "Shell", "StopSignal", "User", "Volumes",      "WorkingDir"};

template <typename Names>
std::map<std::string, std::string> unknown_members(const Json& object, const Names& known) {
    std::map<std::string, std::string> out;
    for (const auto& [name, value] : object.members())
        if (std::find(std::begin(known), std::end(known), name) == std::end(known))
            out.emplace(name, value.dump());
    return out;
}

// Go's zero time, which Docker writes for "never", lies outside what nanoseconds since 1970 can
// say; it means the same as no time at all.
std::optional<std::int64_t> time_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    if (!member) return std::nullopt;
    const std::string text = member->string();
    if (text.starts_with("0001-01-01T00:00:00")) return std::nullopt;
    const auto ns = parse_rfc3339(text);
    if (!ns) member->corrupt("not an RFC 3339 time between 1678 and 2261");
    return ns;
}

// {"80/tcp":{}}: a set, written as Go writes one.
std::vector<std::string> set_at(const Json& object, const std::string& name) {
    std::vector<std::string> out;
    if (const auto member = object.find(name))
        for (const auto& entry : member->members())
            out.push_back(entry.first);
    return out;
}

json encode_set(const std::vector<std::string>& names) {
    json out = json::object();
    for (const auto& name : names)
        out[name] = json::object();
    return out;
}

// A command; old images carry a plain string where the list should be. An empty list is kept apart
// from none: it cancels an inherited command.
std::optional<std::vector<std::string>> command_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    if (!member) return std::nullopt;
    if (member->is_string()) return std::vector{member->string()};
    return strings_at(object, name);
}

Healthcheck decode_healthcheck(const Json& value) {
    Healthcheck out;
    out.test = command_at(value, "Test").value_or(std::vector<std::string>{});
    out.interval_ns = integer_at(value, "Interval");
    out.timeout_ns = integer_at(value, "Timeout");
    out.start_period_ns = integer_at(value, "StartPeriod");
    out.start_interval_ns = integer_at(value, "StartInterval");
    const std::int64_t retries = integer_at(value, "Retries");
    if (retries < 0 || retries > std::numeric_limits<int>::max())
        value.corrupt("Retries is out of range");
    out.retries = static_cast<int>(retries);
    return out;
}

json encode_healthcheck(const Healthcheck& check) {
    json out = json::object();
    if (!check.test.empty()) out["Test"] = check.test;
    if (check.interval_ns != 0) out["Interval"] = check.interval_ns;
    if (check.timeout_ns != 0) out["Timeout"] = check.timeout_ns;
    if (check.start_period_ns != 0) out["StartPeriod"] = check.start_period_ns;
    if (check.start_interval_ns != 0) out["StartInterval"] = check.start_interval_ns;
    if (check.retries != 0) out["Retries"] = check.retries;
    return out;
}

RunConfig decode_run_config(const Json& value) {
    RunConfig out;
    out.user = string_at(value, "User");
    out.exposed_ports = set_at(value, "ExposedPorts");
    out.env = strings_at(value, "Env");
    out.entrypoint = command_at(value, "Entrypoint");
    out.cmd = command_at(value, "Cmd");
    out.shell = command_at(value, "Shell");
    out.volumes = set_at(value, "Volumes");
    out.working_dir = string_at(value, "WorkingDir");
    out.labels = string_map_at(value, "Labels");
    out.stop_signal = string_at(value, "StopSignal");
    out.args_escaped = boolean_at(value, "ArgsEscaped");
    if (const auto check = value.find("Healthcheck")) out.healthcheck = decode_healthcheck(*check);
    out.onbuild = strings_at(value, "OnBuild");
    return out;
}

json encode_unknown(const std::map<std::string, std::string>& members) {
    json out = json::object();
    for (const auto& [name, text] : members)
        out[name] = parse_bounded(text, "member " + name);
    return out;
}

json encode_run_config(const RunConfig& config, const std::map<std::string, std::string>& unknown) {
    json out = encode_unknown(unknown);
    if (!config.user.empty()) out["User"] = config.user;
    if (!config.exposed_ports.empty()) out["ExposedPorts"] = encode_set(config.exposed_ports);
    if (!config.env.empty()) out["Env"] = config.env;
    if (config.entrypoint) out["Entrypoint"] = *config.entrypoint;
    if (config.cmd) out["Cmd"] = *config.cmd;
    if (config.shell) out["Shell"] = *config.shell;
    if (!config.volumes.empty()) out["Volumes"] = encode_set(config.volumes);
    if (!config.working_dir.empty()) out["WorkingDir"] = config.working_dir;
    if (!config.labels.empty()) out["Labels"] = config.labels;
    if (!config.stop_signal.empty()) out["StopSignal"] = config.stop_signal;
    if (config.args_escaped) out["ArgsEscaped"] = true;
    if (config.healthcheck) out["Healthcheck"] = encode_healthcheck(*config.healthcheck);
    if (!config.onbuild.empty()) out["OnBuild"] = config.onbuild;
    return out;
}

History decode_history(const Json& value) {
    return {time_at(value, "created"), string_at(value, "created_by"), string_at(value, "author"),
            string_at(value, "comment"), boolean_at(value, "empty_layer")};
}

json encode_history(const History& entry) {
    json out = json::object();
    if (entry.created_ns) out["created"] = format_rfc3339(*entry.created_ns);
    if (!entry.created_by.empty()) out["created_by"] = entry.created_by;
    if (!entry.author.empty()) out["author"] = entry.author;
    if (!entry.comment.empty()) out["comment"] = entry.comment;
    if (entry.empty_layer) out["empty_layer"] = true;
    return out;
}

std::vector<Digest> decode_diff_ids(const Json& rootfs) {
    const std::string type = string_at(rootfs, "type");
    if (!type.empty() && type != "layers")
        fail(ErrorKind::Unsupported, "image config: root file system of type \"" + type + "\"");
    std::vector<Digest> out;
    if (const auto list = rootfs.find("diff_ids"))
        for (const auto& item : list->items())
            out.push_back(digest_of(item));
    return out;
}

}  // namespace

ImageConfig decode_config(std::string_view text) {
    constexpr std::string_view kWhat = "image config";
    if (text.size() > kMaxConfigBytes)
        fail(ErrorKind::Corrupt,
             std::string(kWhat) + ": larger than " + format_size(kMaxConfigBytes));
    const Json document = Json::parse(text, kWhat);
    ImageConfig out;
    out.created_ns = time_at(document, "created");
    out.author = string_at(document, "author");
    out.platform = {string_at(document, "os"), string_at(document, "architecture"),
                    string_at(document, "variant")};
    out.os_version = string_at(document, "os.version");
    out.os_features = strings_at(document, "os.features");
    out.diff_ids = decode_diff_ids(required(document, "rootfs"));
    if (const auto config = document.find("config")) {
        out.config = decode_run_config(*config);
        out.unknown_config = unknown_members(*config, kKnownConfig);
    }
    if (const auto history = document.find("history"))
        for (const auto& entry : history->items())
            out.history.push_back(decode_history(entry));
    out.unknown_top = unknown_members(document, kKnownTop);
    return out;
}

std::string encode(const ImageConfig& config) {
    json out = encode_unknown(config.unknown_top);
    if (config.created_ns) out["created"] = format_rfc3339(*config.created_ns);
    if (!config.author.empty()) out["author"] = config.author;
    out["architecture"] = config.platform.architecture;
    out["os"] = config.platform.os;
    if (!config.platform.variant.empty()) out["variant"] = config.platform.variant;
    if (!config.os_version.empty()) out["os.version"] = config.os_version;
    if (!config.os_features.empty()) out["os.features"] = config.os_features;
    out["config"] = encode_run_config(config.config, config.unknown_config);
    json diff_ids = json::array();
    for (const auto& diff_id : config.diff_ids)
        diff_ids.push_back(diff_id.str());
    out["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
    if (!config.history.empty()) {
        out["history"] = json::array();
        for (const auto& entry : config.history)
            out["history"].push_back(encode_history(entry));
    }
    return dump_text(out);
}

}  // namespace shale::oci
