// The tree mirrors the structs of the door: members that are empty or have their default are left
// out, so that what is there was written by somebody.
#include "dockerfile_json.hpp"

#include "json_text.hpp"
#include "terminal_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <type_traits>

namespace shale::cli {

namespace {

using namespace dockerfile;
using Json = nlohmann::ordered_json;

Json position_json(const Position& position) {
    return {{"line", position.line}, {"column", position.column}};
}

Json span_json(const SourceSpan& span) {
    return {{"begin", position_json(span.begin)}, {"end", position_json(span.end)}};
}

Json lines_json(LineRange lines) {
    return {{"first", lines.first}, {"last", lines.last}};
}

Json words_json(const std::vector<SourceWord>& words) {
    Json list = Json::array();
    for (const auto& word : words)
        list.push_back({{"text", word.text}, {"place", span_json(word.span)}});
    return list;
}

// Sets a member unless the value says nothing.
template <typename T>
void put(Json& json, const char* key, const T& value) {
    if (value != T{}) json[key] = value;
}
void put(Json& json, const char* key, const std::optional<bool>& value) {
    if (value) json[key] = *value;
}
void put(Json& json, const char* key, const std::optional<std::string>& value) {
    if (value) json[key] = *value;
}

Json heredocs_json(const std::vector<Heredoc>& heredocs) {
    Json list = Json::array();
    for (const auto& heredoc : heredocs)
        list.push_back({{"name", heredoc.name},
                        {"body", heredoc.body},
                        {"expand", heredoc.expand},
                        {"stripTabs", heredoc.strip_tabs}});
    return list;
}

void put_heredocs(Json& json, const std::vector<Heredoc>& heredocs) {
    if (!heredocs.empty()) json["heredocs"] = heredocs_json(heredocs);
}

void put_command(Json& json, const Command& command) {
    json["form"] = command.exec_form ? "exec" : "shell";
    json["argv"] = command.argv;
    put_heredocs(json, command.heredocs);
}

Json mount_json(const Mount& mount) {
    constexpr std::array<const char*, 5> kTypes = {"bind", "cache", "tmpfs", "secret", "ssh"};
    Json json = {{"type", kTypes[static_cast<std::size_t>(mount.type)]}, {"written", mount.spec}};
    put(json, "from", mount.from);
    put(json, "source", mount.source);
    put(json, "target", mount.target);
    put(json, "id", mount.id);
    put(json, "sharing", mount.sharing);
    if (mount.has_env) json["env"] = mount.env;
    put(json, "readOnly", mount.read_only);
    put(json, "required", mount.required);
    put(json, "size", mount.size);
    put(json, "mode", mount.mode);
    put(json, "uid", mount.uid);
    put(json, "gid", mount.gid);
    return json;
}

Json pairs_json(const std::vector<KeyValue>& pairs) {
    Json list = Json::array();
    for (const auto& pair : pairs)
        list.push_back({{"key", pair.key}, {"value", pair.value}});
    return list;
}

// One overload per instruction: what it says.
void fill(Json& json, const Run& run) {
    put_command(json, run.command);
    for (const auto& mount : run.mounts)
        json["mounts"].push_back(mount_json(mount));
    put(json, "network", run.network);
    put(json, "security", run.security);
    put(json, "devices", run.devices);
}
void fill(Json& json, const Copy& copy) {
    json["sources"] = copy.sources;
    json["destination"] = copy.destination;
    put_heredocs(json, copy.heredocs);
    put(json, "from", copy.from);
    put(json, "chown", copy.chown);
    put(json, "chmod", copy.chmod);
    put(json, "checksum", copy.checksum);
    put(json, "excludes", copy.excludes);
    put(json, "link", copy.link);
    put(json, "parents", copy.parents);
    put(json, "unpack", copy.unpack);
    put(json, "keepGitDir", copy.keep_git_dir);
}
template <typename Pairs>
requires std::is_same_v<Pairs, Env> || std::is_same_v<Pairs, Label>
void fill(Json& json, const Pairs& value) {
    json["pairs"] = pairs_json(value.pairs);
    put(json, "legacy", value.legacy);
}
void fill(Json& json, const Arg& arg) {
    json["declarations"] = Json::array();
    for (const auto& declaration : arg.declarations) {
        Json item = {{"name", declaration.name}};
        put(item, "default", declaration.default_value);
        json["declarations"].push_back(std::move(item));
    }
}
void fill(Json& json, const Workdir& workdir) {
    json["path"] = workdir.path;
}
void fill(Json& json, const User& user) {
    json["user"] = user.user;
}
void fill(Json& json, const Expose& expose) {
    json["ports"] = expose.ports;
}
void fill(Json& json, const Volume& volume) {
    json["paths"] = volume.paths;
}
void fill(Json& json, const Cmd& cmd) {
    put_command(json, cmd.command);
}
void fill(Json& json, const Entrypoint& entrypoint) {
    put_command(json, entrypoint.command);
}
void fill(Json& json, const Shell& shell) {
    json["argv"] = shell.argv;
}
void fill(Json& json, const StopSignal& signal) {
    json["signal"] = signal.signal;
}
void fill(Json& json, const Maintainer& maintainer) {
    json["name"] = maintainer.name;
}
void fill(Json& json, const Onbuild& onbuild) {
    json["trigger"] = onbuild.text;
}
void fill(Json& json, const Healthcheck& check) {
    json["test"] = check.test;
    put(json, "intervalNs", check.interval_ns);
    put(json, "timeoutNs", check.timeout_ns);
    put(json, "startPeriodNs", check.start_period_ns);
    put(json, "startIntervalNs", check.start_interval_ns);
    put(json, "retries", check.retries);
}

// What a FROM and any other line have in common.
template <typename Line>
void put_line(Json& json, const Line& line) {
    json["lines"] = lines_json(line.lines);
    json["place"] = span_json(line.word.span);
    if (!line.flags.empty()) json["flags"] = words_json(line.flags);
    if (!line.operands.empty()) json["operands"] = words_json(line.operands);
    put(json, "comments", line.comments);
}

Json instructions_json(const std::vector<Instruction>& instructions) {
    Json list = Json::array();
    for (const auto& instruction : instructions) {
        Json json = {{"instruction", instruction.keyword}};
        std::visit([&](const auto& value) { fill(json, value); }, instruction.value);
        put_line(json, instruction);
        list.push_back(std::move(json));
    }
    return list;
}

Json stage_json(const Stage& stage) {
    Json json = {{"index", stage.index}, {"from", stage.from.reference}};
    put(json, "platform", stage.from.platform);
    put(json, "name", stage.from.stage_name);
    put_line(json, stage);
    json["instructions"] = instructions_json(stage.instructions);
    return json;
}

Json diagnostic_json(const Diagnostic& diagnostic) {
    Json json = {{"severity", diagnostic.severity == Severity::Error ? "error" : "warning"},
                 {"message", message(diagnostic)},
                 {"lines", lines_json(diagnostic.lines)}};
    put(json, "rule", diagnostic.rule);
    if (diagnostic.place.known()) json["place"] = span_json(diagnostic.place);
    return json;
}

}  // namespace

std::string syntax_tree_json(const ParseResult& parsed) {
    const File& file = parsed.file;
    Json json = {{"file", file.name}, {"escape", std::string(1, file.escape)}};
    put(json, "syntax", file.syntax);
    put(json, "check", file.check);
    json["globalArgs"] = instructions_json(file.global_args);
    json["stages"] = Json::array();
    for (const auto& stage : file.stages)
        json["stages"].push_back(stage_json(stage));
    json["diagnostics"] = Json::array();
    for (const auto& diagnostic : parsed.diagnostics)
        json["diagnostics"].push_back(diagnostic_json(diagnostic));
    return json_text(json);
}

std::string syntax_tree_text(const File& file) {
    std::string out;
    const auto line = [&](const auto& item, std::string_view indent) {
        out += fmt::format("{:>4}  {}{}\n", item.lines.first, indent, printable(item.original));
    };
    for (const auto& instruction : file.global_args)
        line(instruction, "");
    for (const auto& stage : file.stages) {
        line(stage, "");
        for (const auto& instruction : stage.instructions)
            line(instruction, "  ");
    }
    return out;
}

}  // namespace shale::cli
