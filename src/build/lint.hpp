// Lint rules that need values: what variables are set, what FROM means, what the context leaves
// out. Pure: the caller says what is known about the base, so the same code serves a build, which
// knows all of it, and a check, which may not.
#pragma once

#include "arguments.hpp"
#include "named_contexts.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// What a stage knows at some line. A stage built on another starts with what that one ends with.
struct LintScope {
    Environment environment;             // set variables, by ENV, by ARG or by the base image
    std::vector<std::string> arguments;  // declared, perhaps without a value
    bool workdir_set = false;            // by a WORKDIR of this file
    bool shell_set = false;
    // False if the base image could not be asked: rules about variables have nothing to say then.
    bool base_known = true;
};

using Findings = std::vector<dockerfile::Diagnostic>;

// UndefinedArgInFrom and InvalidDefaultArgInFrom.
void lint_from(const dockerfile::File& file, const dockerfile::Stage& stage,
               const Arguments& arguments, Findings& out);

// Of an instruction that the build would refuse, see validate().
using OnRefused = std::function<void(const dockerfile::Instruction&, const Error&)>;

// UndefinedVar, WorkdirRelativePath, CopyIgnoredFile and the rules of dockerfile::lint_stage.
// `scope` is left as the stage ends. `ignore` is null if the context is not a directory; without
// `refused`, nothing is validated.
void lint_stage(const dockerfile::File& file, const dockerfile::Stage& stage,
                const Arguments& arguments, const dockerfile::IgnoreMatcher* ignore,
                LintScope& scope, Findings& out, const OnRefused& refused = nullptr);

// InvalidBaseImagePlatform.
void lint_platform(const dockerfile::File& file, const dockerfile::Stage& stage,
                   const std::string& image, const oci::Platform& actual,
                   const oci::Platform& expected, Findings& out);

// "RuleName: text (line N)", as a build prints a finding.
std::string finding_line(const dockerfile::Diagnostic& finding);
// `lint violation found for rules: A, B`, each named once.
std::string violation_text(const Findings& findings);

// Whether an earlier stage of this file, on the way from the base to `stage`, has a WORKDIR.
bool inherits_workdir(const dockerfile::File& file, const dockerfile::Stage& stage,
                      const Arguments& arguments, const NamedContexts& contexts = {});

// The build argument that replaces the check directive, if it is given.
std::optional<std::string> check_option(const Request& request);

// Collects findings of stages that run at the same time, each finding once, and says when one is
// new. Safe from any thread.
class LintLog {
  public:
    // Those of `findings` that were not known.
    Findings add(const Findings& findings);
    Findings all() const;

  private:
    mutable std::mutex mutex_;
    Findings findings_;
};

}  // namespace shale::build
