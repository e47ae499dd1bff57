#include "config_diff.hpp"

#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace shale::cli {

namespace {

// Fields in the order in which people look for them; maps have a field per key.
using Fields = std::vector<std::pair<std::string, std::string>>;

std::string as_json(const std::vector<std::string>& list) {
    return nlohmann::json(list).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string as_json(const oci::Healthcheck& check) {
    const nlohmann::ordered_json value = {
        {"Test", check.test},          {"Interval", check.interval_ns},
        {"Timeout", check.timeout_ns}, {"StartPeriod", check.start_period_ns},
        {"Retries", check.retries},    {"StartInterval", check.start_interval_ns},
    };
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Fields fields_of(const oci::ImageConfig& image) {
    const oci::RunConfig& config = image.config;
    Fields fields;
    std::map<std::string, std::size_t> places;
    // Of two values of one name the last counts, as for whoever runs the image.
    const auto add = [&](std::string name, std::string value) {
        const auto [known, is_new] = places.try_emplace(name, fields.size());
        if (is_new)
            fields.emplace_back(std::move(name), std::move(value));
        else
            fields[known->second].second = std::move(value);
    };
    const auto add_text = [&](const char* name, const std::string& value) {
        if (!value.empty()) add(name, value);
    };
    const auto add_list = [&](const char* name,
                              const std::optional<std::vector<std::string>>& list) {
        if (list) add(name, as_json(*list));
    };
    add_text("Platform", image.platform.architecture.empty() ? "" : image.platform.str());
    add_text("User", config.user);
    add_text("WorkingDir", config.working_dir);
    add_list("Entrypoint", config.entrypoint);
    add_list("Cmd", config.cmd);
    add_list("Shell", config.shell);
    for (const auto& pair : config.env) {
        const auto equals = std::min(pair.find('='), pair.size());
        add("Env." + pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size())));
    }
    for (const auto& port : config.exposed_ports)
        add("ExposedPorts." + port, "");
    for (const auto& volume : config.volumes)
        add("Volumes." + volume, "");
    for (const auto& [key, value] : config.labels)
        add("Labels." + key, value);
    add_text("StopSignal", config.stop_signal);
    if (config.healthcheck) add("Healthcheck", as_json(*config.healthcheck));
    for (std::size_t i = 0; i < config.onbuild.size(); ++i)
        add(fmt::format("OnBuild.{}", i + 1), config.onbuild[i]);
    add_text("Author", image.author);
    for (const auto& [name, json] : image.unknown_config)
        add(name, json);
    return fields;
}

}  // namespace

std::vector<ConfigChange> compare_configs(const oci::ImageConfig& before,
                                          const oci::ImageConfig& after) {
    const Fields old_fields = fields_of(before), new_fields = fields_of(after);
    const std::map<std::string, std::string> was(old_fields.begin(), old_fields.end()),
        is(new_fields.begin(), new_fields.end());
    std::vector<ConfigChange> changes;
    for (const auto& [field, value] : old_fields) {
        const auto now = is.find(field);
        if (now == is.end())
            changes.push_back({field, value, std::nullopt});
        else if (now->second != value)
            changes.push_back({field, value, now->second});
    }
    for (const auto& [field, value] : new_fields)
        if (!was.contains(field)) changes.push_back({field, std::nullopt, value});
    return changes;
}

std::string to_text(const std::vector<ConfigChange>& changes) {
    std::size_t width = 0;
    for (const auto& change : changes)
        width = std::max(width, change.field.size());
    const auto shown = [](const std::optional<std::string>& value) {
        return value ? value->empty() ? std::string("set") : printable_message(*value)
                     : std::string("not set");
    };
    std::string out;
    for (const auto& change : changes)
        out += fmt::format("C {:<{}}  {} -> {}\n", printable_message(change.field), width,
                           shown(change.before), shown(change.after));
    return out;
}

std::string to_lines(const std::vector<ConfigChange>& changes) {
    std::string out;
    for (const auto& change : changes)
        out += "C " + printable_message(change.field) + "\n";
    return out;
}

}  // namespace shale::cli
