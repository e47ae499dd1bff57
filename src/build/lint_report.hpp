// Lint as part of a build: findings of the stages it reaches, as warnings or, if the file wants it
// so, as an error in the end.
#pragma once

#include "stage.hpp"

namespace shale::build {

// Once the base of stage `index` is known. `state` is what the stage begins with.
void lint_reached(Session& session, std::uint32_t index, const StageState& state);

// Warns of a `# syntax=` (or BUILDKIT_SYNTAX) that names another frontend than Docker's: the file
// is read as if it named that one.
void warn_about_syntax(const dockerfile::File& file, const Request& request, Progress& progress);

// Warns of what is nearly a name and none: of a stage, where it is taken for an image then, and of
// an ARG, as scripts give the same --build-arg to many Dockerfiles, whether they declare it or not.
void warn_about_names(const dockerfile::File& file, const Request& request, Progress& progress);

// Throws `lint violation found for rules: ...` if there are findings and `error=true` is in force.
void fail_on_findings(const dockerfile::File& file, const LintLog& log);

}  // namespace shale::build
