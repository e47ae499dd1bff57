#include "lint.hpp"

#include "plan.hpp"
#include "validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace shale::build {
namespace {

using dockerfile::Diagnostic;
using dockerfile::File;
using dockerfile::Instruction;
using dockerfile::Stage;

// $1, $@ and their like are never set, and nobody means them to be.
bool is_name(std::string_view variable) {
    const char first = variable.empty() ? '\0' : variable[0];
    return first == '_' || (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') ||
           static_cast<unsigned char>(first) >= 0x80;
}

std::string nearest_name(const std::string& variable, const std::vector<std::string>& candidates) {
    const std::string nearest = nearest_match(variable, candidates);
    return nearest == variable ? "" : nearest;
}

std::vector<std::string> names_of(const Environment& environment) {
    std::vector<std::string> names;
    for (const auto& pair : environment.pairs())
        names.push_back(pair.key);
    return names;
}

// Runs over the instructions of one stage, knowing what is set at each.
class StageLint {
  public:
    StageLint(const File& file, const Arguments& arguments, const dockerfile::IgnoreMatcher* ignore,
              LintScope& scope, Findings& out)
        : file_(file), arguments_(arguments), ignore_(ignore), scope_(scope), out_(out),
          lookup_([this](std::string_view name) { return scope_.environment.get(name); }) {}

    void visit(const Instruction& instruction, const OnRefused& refused) {
        at_ = &instruction;
        reported_.clear();
        refused_ = refused ? &refused : nullptr;
        if (refused) try_to_validate(instruction, refused);
        std::visit([this](const auto& value) { check(value); }, instruction.value);
    }

  private:
    // What the base sets is not known where the base is not.
    void try_to_validate(const Instruction& instruction, const OnRefused& refused) const {
        if (!scope_.base_known && instruction.original.find('$') != std::string::npos) return;
        try {
            validate(instruction, lookup_, file_.escape);
        } catch (const Error& error) {
            refused(instruction, error);
        }
    }

    template <typename T>
    void check(const T&) {}  // expands nothing
    void check(const dockerfile::Shell&) { scope_.shell_set = true; }
    void check(const dockerfile::User& user) { check_word(user.user); }
    void check(const dockerfile::StopSignal& signal) { check_word(signal.signal); }
    void check(const dockerfile::Expose& expose) { check_words(expose.ports); }
    void check(const dockerfile::Volume& volume) { check_words(volume.paths); }
    void check(const dockerfile::Label& label) { check_pairs(label.pairs); }
    void check(const dockerfile::Run& run) {
        for (const auto& mount : run.mounts)
            check_word(mount.spec);
    }

    void check(const dockerfile::Env& env) {
        check_pairs(env.pairs);
        std::vector<KeyValue> values;  // all of them see what was set before the instruction
        for (const auto& pair : env.pairs)
            values.push_back({value_of(pair.key), value_of(pair.value)});
        for (const auto& value : values)
            scope_.environment.set(value.key, value.value);
    }

    void check(const dockerfile::Arg& arg) {
        for (const auto& declaration : arg.declarations) {
            if (declaration.default_value && !arguments_.given(declaration.name))
                check_word(*declaration.default_value);
            try {
                if (const auto value = arguments_.for_stage(declaration, lookup_, file_.escape))
                    scope_.environment.set(declaration.name, *value);
            } catch (const Error& error) {
                if (refused_ != nullptr && scope_.base_known) (*refused_)(*at_, error);
            }
            scope_.arguments.push_back(declaration.name);
        }
    }

    void check(const dockerfile::Workdir& workdir) {
        check_word(workdir.path);
        const std::string path = value_of(workdir.path);
        const bool is_known = scope_.base_known || workdir.path.find('$') == std::string::npos;
        if (!scope_.workdir_set && is_known && !path.starts_with('/'))
            report("WorkdirRelativePath",
                   fmt::format("Relative workdir \"{}\" can have unexpected results if the base "
                               "image changes",
                               path),
                   workdir.path);
        scope_.workdir_set = true;
    }

    void check(const dockerfile::Copy& copy) {
        check_words(copy.sources);
        for (const std::string* word :
             {&copy.destination, &copy.chown, &copy.chmod, &copy.checksum})
            check_word(*word);
        if (!copy.from.empty() || !ignore_) return;
        for (const std::string& source : copy.sources)
            check_ignored(copy, source);
    }

    // A source that can only be missing, because the ignore file leaves it out.
    void check_ignored(const dockerfile::Copy& copy, const std::string& source) {
        std::string path = value_of(source);
        if (path.find("://") != std::string::npos || path.starts_with("git@")) return;
        path = clean_absolute_path("/" + path).substr(1);
        // A name that no pattern means in particular stands for everything in the context.
        const std::string probe = path.empty() ? "\x01" : path;
        if (dockerfile::has_wildcard(path) || path.empty()) {
            if (ignore_->has_exceptions() || !ignore_->is_excluded(probe)) return;
        } else if (!ignore_->is_excluded_entirely(probe)) {
            return;
        }
        report("CopyIgnoredFile",
               fmt::format("Attempting to {} file \"{}\" that is excluded by .dockerignore",
                           copy.is_add ? "Add" : "Copy", path.empty() ? "." : path),
               source);
    }

    void check_pairs(const std::vector<dockerfile::KeyValue>& pairs) {
        for (const auto& pair : pairs) {
            check_word(pair.key);
            check_word(pair.value);
        }
    }

    void check_words(const std::vector<std::string>& words) {
        for (const std::string& word : words)
            check_word(word);
    }

    void check_word(const std::string& word) {
        if (word.find('$') == std::string::npos || !scope_.base_known) return;
        for (const auto& name : dockerfile::undefined_variables(word, lookup_, file_.escape)) {
            const auto& declared = scope_.arguments;
            if (!is_name(name) || !reported_.insert(name).second ||
                std::find(declared.begin(), declared.end(), name) != declared.end())
                continue;
            const auto nearest = nearest_name(name, names_of(scope_.environment));
            report("UndefinedVar",
                   "Usage of undefined variable '$" + name + "'" +
                       (nearest.empty() ? "" : " (did you mean $" + nearest + "?)"),
                   word);
        }
    }

    std::string value_of(const std::string& word) const {
        try {
            return dockerfile::expand(word, lookup_, file_.escape);
        } catch (const Error&) {
            return word;  // the build says so at this line
        }
    }

    void report(std::string_view rule, std::string text, std::string_view word) {
        dockerfile::SourceSpan place;
        for (const auto* words : {&at_->operands, &at_->flags})
            for (const auto& candidate : *words)
                if (!place.known() && candidate.text.find(word) != std::string::npos)
                    place = candidate.span;
        if (auto finding = dockerfile::lint_finding(file_, rule, at_->lines, at_->comments,
                                                    std::move(text), place))
            out_.push_back(std::move(*finding));
    }

    const File& file_;
    const Arguments& arguments_;
    const dockerfile::IgnoreMatcher* ignore_;
    LintScope& scope_;
    Findings& out_;
    dockerfile::Lookup lookup_;
    const Instruction* at_ = nullptr;
    const OnRefused* refused_ = nullptr;  // during visit(); may be null
    std::set<std::string> reported_;      // of this instruction
};

// `word` is the part of the FROM line that the finding is about.
void report_from(const File& file, const Stage& stage, std::string_view rule, std::string text,
                 std::string_view word, Findings& out) {
    dockerfile::SourceSpan place;
    for (const auto* words : {&stage.flags, &stage.operands})
        for (const auto& candidate : *words)
            if (!place.known() && candidate.text.find(word) != std::string::npos)
                place = candidate.span;
    if (auto finding = dockerfile::lint_finding(file, rule, stage.lines, stage.comments,
                                                std::move(text), place))
        out.push_back(std::move(*finding));
}

bool is_good_reference(const File& file, const std::string& reference,
                       const dockerfile::Lookup& lookup) {
    try {
        oci::Reference::parse(dockerfile::expand(reference, lookup, file.escape));
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

void lint_from(const File& file, const Stage& stage, const Arguments& arguments, Findings& out) {
    const dockerfile::Lookup given = [&](std::string_view name) { return arguments.global(name); };
    for (const std::string& word : {stage.from.reference, stage.from.platform})
        for (const auto& name : dockerfile::undefined_variables(word, given, file.escape)) {
            if (!is_name(name) || arguments.is_global(name)) continue;
            const auto nearest = nearest_name(name, arguments.global_names());
            report_from(file, stage, "UndefinedArgInFrom",
                        "FROM argument '" + name + "' is not declared" +
                            (nearest.empty() ? "" : " (did you mean " + nearest + "?)"),
                        word, out);
        }
    if (stage.from.reference.find('$') == std::string::npos) return;
    const dockerfile::Lookup defaults = [&](std::string_view name) {
        return arguments.global_default(name);
    };
    if (!is_good_reference(file, stage.from.reference, defaults))
        report_from(file, stage, "InvalidDefaultArgInFrom",
                    "Default value for ARG " + stage.from.reference +
                        " results in empty or invalid base image name",
                    stage.from.reference, out);
}

void lint_stage(const File& file, const Stage& stage, const Arguments& arguments,
                const dockerfile::IgnoreMatcher* ignore, LintScope& scope, Findings& out,
                const OnRefused& refused) {
    for (auto& finding : dockerfile::lint_stage(file, stage.index, scope.shell_set))
        out.push_back(std::move(finding));
    StageLint lint(file, arguments, ignore, scope, out);
    for (const auto& instruction : stage.instructions)
        lint.visit(instruction, refused);
}

void lint_platform(const File& file, const Stage& stage, const std::string& image,
                   const oci::Platform& actual, const oci::Platform& expected, Findings& out) {
    const auto is = actual.normalized(), wanted = expected.normalized();
    if (actual.architecture.empty() ||
        (is.architecture == wanted.architecture && (is.os.empty() || is.os == wanted.os)))
        return;
    report_from(file, stage, "InvalidBaseImagePlatform",
                fmt::format("Base image {} was pulled with platform \"{}\", expected \"{}\" for "
                            "current build",
                            image, actual.str(), expected.str()),
                stage.from.reference, out);
}

std::string finding_line(const Diagnostic& finding) {
    return fmt::format("{}: {} (line {})", finding.rule, dockerfile::message(finding),
                       finding.lines.first);
}

std::string violation_text(const Findings& findings) {
    std::set<std::string> rules;
    for (const auto& finding : findings)
        rules.insert(finding.rule);
    return fmt::format("lint violation found for rules: {}", fmt::join(rules, ", "));
}

bool inherits_workdir(const File& file, const Stage& stage, const Arguments& arguments,
                      const NamedContexts& contexts) {
    for (auto index = stage.index;;) {
        const auto base = resolve_from(file, index, arguments, contexts);
        const auto* parent = std::get_if<StageBase>(&base);
        if (!parent) return false;
        index = parent->stage;
        for (const auto& instruction : file.stages[index].instructions)
            if (std::holds_alternative<dockerfile::Workdir>(instruction.value)) return true;
    }
}

std::optional<std::string> check_option(const Request& request) {
    std::optional<std::string> option;
    for (const auto& pair : request.build_args)
        if (pair.key == "BUILDKIT_DOCKERFILE_CHECK") option = pair.value;
    return option;
}

Findings LintLog::add(const Findings& findings) {
    const std::lock_guard lock(mutex_);
    Findings added;
    for (const auto& finding : findings) {
        const bool known = std::any_of(findings_.begin(), findings_.end(), [&](const auto& other) {
            return other.rule == finding.rule && other.lines == finding.lines &&
                   other.text == finding.text;
        });
        if (known) continue;
        findings_.push_back(finding);
        added.push_back(finding);
    }
    return added;
}

Findings LintLog::all() const {
    const std::lock_guard lock(mutex_);
    return findings_;
}

}  // namespace shale::build
