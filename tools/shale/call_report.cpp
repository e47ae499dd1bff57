#include "call_report.hpp"

#include "json_text.hpp"
#include "table.hpp"
#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

// Text of several lines, each made printable.
std::string printable_lines(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto end = text.find('\n');
        out += printable(text.substr(0, end)) + "\n";
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return out;
}

std::string base64(std::string_view bytes) {
    constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group =
                group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
            out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

std::string source_text(const dockerfile::File& file) {
    return fmt::format("{}", fmt::join(file.source, "\n"));
}

Json location(dockerfile::LineRange lines) {
    return {{"sourceIndex", 0},
            {"ranges",
             Json::array({{{"start", {{"line", lines.first}}}, {"end", {{"line", lines.last}}}}})}};
}

Json sources(const dockerfile::File& file) {
    return Json::array({base64(source_text(file))});
}

}  // namespace

std::string check_text(const build::CheckResult& result) {
    const auto count = result.warnings.size();
    std::string out = count == 0 ? "Check complete, no warnings found.\n"
                      : count == 1
                          ? "Check complete, 1 warning has been found!\n"
                          : fmt::format("Check complete, {} warnings have been found!\n", count);
    if (!result.problems.empty() && count == 0) out.clear();
    for (const auto& warning : result.warnings) {
        const auto* rule = dockerfile::find_rule(warning.rule);
        out += fmt::format("\nWARNING: {}{}\n{}\n", warning.rule,
                           rule ? fmt::format(" - {}", rule->url) : "",
                           printable(dockerfile::message(warning)));
        out += printable_lines(dockerfile::excerpt(result.file, warning.lines, warning.place));
    }
    return out;
}

std::string check_json(const build::CheckResult& result) {
    Json warnings = Json::array();
    for (const auto& warning : result.warnings) {
        Json item = {{"ruleName", warning.rule}};
        if (const auto* rule = dockerfile::find_rule(warning.rule)) {
            item["description"] = rule->description;
            item["url"] = rule->url;
        }
        item["detail"] = dockerfile::message(warning);
        item["location"] = location(warning.lines);
        if (warning.place.known()) {
            auto& range = item["location"]["ranges"][0];
            range["start"]["character"] = warning.place.begin.column - 1;
            if (warning.place.begin.line == warning.lines.first &&
                warning.place.end.line == warning.lines.last)
                range["end"]["character"] = warning.place.end.column - 1;
        }
        warnings.push_back(std::move(item));
    }
    Json json = {{"warnings", std::move(warnings)},
                 {"sources", Json::array({{{"filename", result.file.name},
                                           {"language", "Dockerfile"},
                                           {"data", base64(source_text(result.file))}}})}};
    if (!result.problems.empty())
        json["buildError"] = {{"message", result.problems.front().message},
                              {"location", location(result.problems.front().lines)}};
    if (!result.unknown_images.empty()) json["shale.unknownImages"] = result.unknown_images;
    return json_text(json);
}

std::string targets_text(const std::vector<build::Target>& targets) {
    Table table({"TARGET", "BASE", "DESCRIPTION"});
    for (const auto& target : targets) {
        std::string name = target.name.empty() ? "-" : target.name;
        if (target.is_default) name += " (default)";
        table.add({name, target.base, target.description});
    }
    return table.str();
}

std::string targets_json(const std::vector<build::Target>& targets, const dockerfile::File& file) {
    Json list = Json::array();
    for (const auto& target : targets) {
        Json item = Json::object();
        if (!target.name.empty()) item["name"] = target.name;
        if (target.is_default) item["default"] = true;
        if (!target.description.empty()) item["description"] = target.description;
        item["base"] = target.base;
        if (!target.platform.empty()) item["platform"] = target.platform;
        item["location"] = location(target.lines);
        list.push_back(std::move(item));
    }
    return json_text(Json{{"targets", std::move(list)}, {"sources", sources(file)}});
}

std::string outline_text(const build::Outline& outline) {
    std::string out;
    if (!outline.name.empty()) out += "TARGET: " + outline.name + "\n";
    if (!outline.description.empty())
        out += "DESCRIPTION: " + printable(outline.description) + "\n";
    const auto section = [&](const Table& table) {
        out += (out.empty() ? "" : "\n") + table.str();
    };
    if (!outline.arguments.empty()) {
        Table table({"BUILD ARG", "VALUE", "DESCRIPTION"});
        for (const auto& argument : outline.arguments)
            table.add({argument.name, argument.value.value_or(""), argument.description});
        section(table);
    }
    for (const auto& [title, grants] :
         {std::pair{"SECRET", &outline.secrets}, {"SSH", &outline.ssh}}) {
        if (grants->empty()) continue;
        Table table({title, "REQUIRED"});
        for (const auto& grant : *grants)
            table.add({grant.id, grant.required ? "true" : ""});
        section(table);
    }
    return out;
}

std::string outline_json(const build::Outline& outline, const dockerfile::File& file) {
    Json json = Json::object();
    if (!outline.name.empty()) json["name"] = outline.name;
    if (!outline.description.empty()) json["description"] = outline.description;
    Json arguments = Json::array();
    for (const auto& argument : outline.arguments) {
        Json item = {{"name", argument.name}};
        if (!argument.description.empty()) item["description"] = argument.description;
        if (argument.value) item["value"] = *argument.value;
        item["location"] = location(argument.lines);
        arguments.push_back(std::move(item));
    }
    json["args"] = std::move(arguments);
    for (const auto& [key, grants] :
         {std::pair{"secrets", &outline.secrets}, {"ssh", &outline.ssh}}) {
        if (grants->empty()) continue;
        Json list = Json::array();
        for (const auto& grant : *grants) {
            Json item = {{"name", grant.id}};
            if (grant.required) item["required"] = true;
            item["location"] = location(grant.lines);
            list.push_back(std::move(item));
        }
        json[key] = std::move(list);
    }
    json["sources"] = sources(file);
    return json_text(json);
}

namespace {

struct Method {
    const char *request, *description;
};
constexpr Method kMethods[] = {
    {"frontend.lint", "Check the Dockerfile against every rule (--call check, --check)"},
    {"frontend.outline", "List the arguments and secrets of a target (--call outline)"},
    {"frontend.targets", "List the targets of the Dockerfile (--call targets)"},
    {"frontend.subrequests.describe", "List these requests (--call subrequests.describe)"},
};

}  // namespace

std::string methods_text() {
    Table table({"NAME", "VERSION", "DESCRIPTION"});
    for (const auto& method : kMethods)
        table.add({method.request, "1.0.0", method.description});
    return table.str();
}

std::string methods_json() {
    Json list = Json::array();
    for (const auto& method : kMethods)
        list.push_back({{"name", method.request},
                        {"version", "1.0.0"},
                        {"type", "rpc"},
                        {"description", method.description}});
    return json_text(list);
}

}  // namespace shale::cli
