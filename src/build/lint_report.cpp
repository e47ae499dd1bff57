#include "lint_report.hpp"

#include "lint.hpp"
#include "lower_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace shale::build {

void lint_reached(Session& session, std::uint32_t index, const StageState& state) {
    const auto& file = session.file;
    const auto& stage = file.stages[index];
    LintScope scope;
    scope.environment = state.environment;
    scope.arguments = state.arguments;
    scope.workdir_set = inherits_workdir(file, stage, session.arguments, session.contexts());
    scope.shell_set = state.image.config.shell && !state.image.config.shell->empty();

    Findings findings;
    lint_from(file, stage, session.arguments, findings);
    const auto base = resolve_from(file, index, session.arguments, session.contexts());
    if (const auto* image = std::get_if<ImageBase>(&base))
        lint_platform(file, stage, image->reference.familiar(), state.image.platform,
                      state.platform, findings);
    lint_stage(file, stage, session.arguments, &session.context.ignore(), scope, findings);
    for (const auto& finding : session.shared.lint.add(findings))
        session.tracker.progress().warning(finding_line(finding));
}

namespace {

using Names = std::vector<std::string>;

constexpr std::size_t kLeastLetters = 5;

// Of a --from: there the name of a stage stands more often than that of an image, unlike in FROM.
void warn_about_stage(const std::string& word, const Names& stages, const Request& request,
                      const dockerfile::File& file, dockerfile::LineRange lines,
                      Progress& progress) {
    // Short words are near to many.
    const bool is_plain =
        word.size() >= kLeastLetters && word.find_first_of("/:.@$") == std::string::npos;
    if (!is_plain || std::ranges::find(stages, word) != stages.end()) return;
    for (const auto& context : request.build_contexts)
        if (context.key == word) return;
    const auto nearest = nearest_match(word, stages);
    if (nearest.empty()) return;
    progress.warning(fmt::format("{}:{}: there is no stage \"{}\", so it is an image (did you mean "
                                 "the stage {}?)",
                                 file.name, lines.first, word, nearest));
}

// Proxies and what BuildKit itself reads.
bool needs_no_arg(const std::string& name) {
    return lower(name).ends_with("_proxy") || name.starts_with("BUILDKIT_") ||
           name == "SOURCE_DATE_EPOCH";
}

}  // namespace

void warn_about_names(const dockerfile::File& file, const Request& request, Progress& progress) {
    Names declared, stages;
    const auto add = [&](const dockerfile::Instruction& instruction) {
        if (const auto* arg = std::get_if<dockerfile::Arg>(&instruction.value))
            for (const auto& declaration : arg->declarations)
                declared.push_back(declaration.name);
    };
    std::ranges::for_each(file.global_args, add);
    for (const auto& stage : file.stages) {
        const auto check = [&](const std::string& word, dockerfile::LineRange lines) {
            warn_about_stage(lower(word), stages, request, file, lines, progress);
        };
        std::ranges::for_each(stage.instructions, add);
        for (const auto& instruction : stage.instructions) {
            if (const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value))
                check(copy->from, instruction.lines);
            if (const auto* run = std::get_if<dockerfile::Run>(&instruction.value))
                for (const auto& mount : run->mounts)
                    check(mount.from, instruction.lines);
        }
        if (!stage.from.stage_name.empty()) stages.push_back(stage.from.stage_name);
    }
    const auto is_given = [&](const std::string& name) {
        return std::ranges::any_of(request.build_args,
                                   [&](const auto& given) { return given.key == name; });
    };
    for (const auto& [name, value] : request.build_args) {
        const auto nearest = nearest_match(name, declared);
        if (!nearest.empty() && !is_given(nearest) && name.size() >= kLeastLetters &&
            !needs_no_arg(name))
            progress.warning("--build-arg " + name + " is used by no ARG (did you mean " + nearest +
                             "?)");
    }
}

void warn_about_syntax(const dockerfile::File& file, const Request& request, Progress& progress) {
    std::string syntax = file.syntax;
    for (const auto& pair : request.build_args)
        if (pair.key == "BUILDKIT_SYNTAX") syntax = pair.value;
    std::string_view name = syntax;
    name = name.substr(0, name.find(' '));  // what follows are arguments of the frontend
    if (name.empty() || name == "dockerfile.v0") return;
    if (name.starts_with("docker.io/")) name.remove_prefix(std::string_view("docker.io/").size());
    const auto end = std::min(name.find_first_of(":@"), name.size());
    const auto repository = name.substr(0, end);
    if (repository == "docker/dockerfile" || repository == "docker/dockerfile-upstream") return;
    progress.warning("syntax " + syntax +
                     " is not implemented; the file is read as "
                     "docker/dockerfile:1");
}

void fail_on_findings(const dockerfile::File& file, const LintLog& log) {
    const auto findings = log.all();
    if (findings.empty() || !dockerfile::parse_check_options(file.check).error) return;
    throw BuildError(Error(ErrorKind::Invalid, violation_text(findings)), {}, {},
                     dockerfile::excerpt(file, findings.front().lines, findings.front().place));
}

}  // namespace shale::build
