#include "lint_report.hpp"

#include "lint.hpp"

#include <algorithm>
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
