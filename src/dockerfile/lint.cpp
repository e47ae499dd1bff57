// Lint rules that can be judged from the text alone.
//
// Two groups, as users know them: lint_file looks at names and spelling across all stages;
// lint_stage looks at what one stage does and is asked only for stages that matter. A value with a
// variable in it is not judged here.
#include "lint.hpp"

#include "characters.hpp"
#include "directives.hpp"
#include "mistake.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace shale::dockerfile {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string first_word(std::string_view text) {
    return std::string(text.begin(), std::find_if(text.begin(), text.end(), is_list_gap));
}

// The operands of a FROM line in the spelling of the user.
std::vector<std::string> from_operands(const Stage& stage) {
    std::vector<std::string> operands;
    for (const SourceWord& word : stage.operands)
        operands.push_back(word.text);
    return operands;
}

bool is_variable(std::string_view text) {
    return text.find('$') != std::string_view::npos;
}

// --- whole file --------------------------------------------------------------------------------

void lint_from_spelling(const Stage& stage, Linter& linter) {
    const auto operands = from_operands(stage);
    if (operands.size() != 3) return;
    if (operands[2] != lower(operands[2]))
        linter.report("StageNameCasing", stage.lines, stage.comments,
                      "Stage name '" + operands[2] + "' should be lowercase",
                      stage.operands[2].span);
    const std::string from = first_word(stage.original);
    const bool is_lower = from == lower(from);
    if (!is_lower && from != upper(from)) return;
    if (operands[1] != (is_lower ? lower(operands[1]) : upper(operands[1])))
        linter.report("FromAsCasing", stage.lines, stage.comments,
                      "'" + operands[1] + "' and '" + from + "' keywords' casing do not match",
                      stage.operands[1].span);
}

SourceSpan name_span(const Stage& stage) {
    return stage.operands.empty() ? SourceSpan{} : stage.operands.back().span;
}

SourceSpan platform_span(const Stage& stage) {
    return stage.flags.empty() ? SourceSpan{} : stage.flags.back().span;
}

void lint_stage_name(const Stage& stage, std::set<std::string>& seen, Linter& linter) {
    const std::string& name = stage.from.stage_name;
    if (name.empty()) return;
    if (name == "scratch" || name == "context")
        linter.report("ReservedStageName", stage.lines, stage.comments,
                      "Stage name should not use the same name as reserved stage " + quoted(name),
                      name_span(stage));
    if (!seen.insert(name).second)
        linter.report("DuplicateStageName", stage.lines, stage.comments,
                      "Duplicate stage name " + quoted(name) + ", stage names should be unique",
                      name_span(stage));
}

// A constant platform is fine in a stage that has the platform in its name.
void lint_platform(const Stage& stage, Linter& linter) {
    const std::string& platform = stage.from.platform;
    if (platform == "$TARGETPLATFORM" || platform == "${TARGETPLATFORM}")
        linter.report("RedundantTargetPlatform", stage.lines, stage.comments,
                      "Setting platform to predefined " + platform +
                          " in FROM is redundant as this is the default behavior",
                      platform_span(stage));
    if (platform.empty() || is_variable(platform)) return;
    std::string_view rest = platform;
    for (int part = 0; part < 2 && !rest.empty(); ++part) {
        const std::size_t end = std::min(rest.find('/'), rest.size());
        if (stage.from.stage_name.find(rest.substr(0, end)) != std::string::npos) return;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    linter.report("FromPlatformFlagConstDisallowed", stage.lines, stage.comments,
                  "FROM --platform flag should not use constant value " + quoted(platform),
                  platform_span(stage));
}

// A comment right above a definition is taken for its description: "# NAME text".
void lint_description(std::string_view keyword, const std::vector<std::string>& names,
                      LineRange lines, const std::vector<std::string>& comments, Linter& linter) {
    if (comments.empty() || names.empty() || contains(names, first_word(comments.back()))) return;
    linter.report_experimental(
        "InvalidDefinitionDescription", lines, comments,
        fmt::format("Comment for {} should follow the format: `# {} <description>`", keyword,
                    names.size() == 1 ? names[0] : "<arg_key>"));
}

void lint_arg_description(const Instruction& instruction, Linter& linter) {
    const auto* arg = std::get_if<Arg>(&instruction.value);
    if (!arg) return;
    std::vector<std::string> names;
    for (const ArgDeclaration& declaration : arg->declarations)
        names.push_back(declaration.name);
    lint_description("ARG", names, instruction.lines, instruction.comments, linter);
}

void lint_maintainer(const Instruction& instruction, Linter& linter) {
    if (std::holds_alternative<Maintainer>(instruction.value))
        linter.report("MaintainerDeprecated", instruction.lines, instruction.comments,
                      "Maintainer instruction is deprecated in favor of using label",
                      instruction.word.span);
}

// Calls `visit(word, lines, comments)` for each FROM and each instruction of a stage.
template <typename Visit>
void for_each_line(const File& file, Visit visit) {
    for (const Stage& stage : file.stages) {
        if (!stage.word.text.empty()) visit(stage.word, stage.lines, stage.comments);
        for (const Instruction& instruction : stage.instructions)
            visit(instruction.word, instruction.lines, instruction.comments);
    }
}

void lint_word_casing(const File& file, Linter& linter) {
    int lower_count = 0;
    int upper_count = 0;
    for_each_line(file, [&](const SourceWord& written, LineRange, const auto&) {
        const std::string& word = written.text;
        lower_count += word == lower(word);
        upper_count += word == upper(word);
    });
    const bool want_lower = lower_count > upper_count;
    for_each_line(file, [&](const SourceWord& written, LineRange lines, const auto& comments) {
        const std::string& word = written.text;
        if (word == (want_lower ? lower(word) : upper(word))) return;
        linter.report("ConsistentInstructionCasing", lines, comments,
                      fmt::format("Command '{}' should match the case of the command majority ({})",
                                  word, want_lower ? "lowercase" : "uppercase"),
                      written.span);
    });
}

// --- one stage ---------------------------------------------------------------------------------

// Whether one of `words` is in `name` between underscores or ends.
template <std::size_t N>
bool has_word(std::string_view name, const std::array<std::string_view, N>& words) {
    const std::string padded = "_" + lower(name) + "_";
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
        return padded.find("_" + std::string(word) + "_") != std::string::npos;
    });
}

// Runs over the instructions of one stage in order.
class StageLint {
  public:
    StageLint(Linter& linter, bool shell_set) : linter_(linter), shell_set_(shell_set) {}

    void visit(const Instruction& instruction) {
        at_ = &instruction;
        std::visit([this](const auto& value) { check(value); }, instruction.value);
    }

  private:
    template <typename T>
    void check(const T&) {}  // most instructions have nothing to find
    void check(const Shell&) { shell_set_ = true; }
    void check(const Cmd& cmd) {
        check_once(last_cmd_);
        check_shell_form(cmd.command);
    }
    void check(const Entrypoint& entrypoint) {
        check_once(last_entrypoint_);
        check_shell_form(entrypoint.command);
    }
    void check(const Healthcheck&) { check_once(last_healthcheck_); }
    void check(const Env& env) {
        check_legacy(env.legacy);
        for (const KeyValue& pair : env.pairs)
            check_secret(pair.key);
    }
    void check(const Label& label) { check_legacy(label.legacy); }
    void check(const Arg& arg) {
        for (const ArgDeclaration& declaration : arg.declarations)
            check_secret(declaration.name);
    }
    void check(const Expose& expose) {
        for (const std::string& port : expose.ports)
            if (!is_variable(port)) check_port(port);
    }

    void report(std::string_view rule, std::string text, const SourceSpan& place) {
        linter_.report(rule, at_->lines, at_->comments, std::move(text), place);
    }

    // Of the operand that is `word` or begins with "word=".
    SourceSpan operand_span(std::string_view word) const {
        for (const SourceWord& operand : at_->operands)
            if (operand.text.starts_with(word) &&
                (operand.text.size() == word.size() || operand.text[word.size()] == '='))
                return operand.span;
        return at_->word.span;
    }

    // The finding points at the earlier one, because that one has no effect.
    void check_once(const Instruction*& last) {
        if (const Instruction* earlier = std::exchange(last, at_))
            linter_.report("MultipleInstructionsDisallowed", earlier->lines, at_->comments,
                           "Multiple " + at_->keyword +
                               " instructions should not be used in the same stage because only "
                               "the last one will be used",
                           earlier->word.span);
    }

    void check_shell_form(const Command& command) {
        if (!command.exec_form && !shell_set_)
            report("JSONArgsRecommended",
                   "JSON arguments recommended for " + at_->keyword +
                       " to prevent unintended behavior related to OS "
                       "signals",
                   at_->operands.empty() ? at_->word.span : at_->operands[0].span);
    }

    void check_legacy(bool legacy) {
        if (legacy)
            report("LegacyKeyValueFormat",
                   fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key "
                               "value\" format",
                               at_->keyword),
                   at_->operands.empty() ? at_->word.span : at_->operands[0].span);
    }

    void check_secret(const std::string& key) {
        if (looks_secret(key))
            report("SecretsUsedInArgOrEnv",
                   fmt::format("Do not use ARG or ENV instructions for sensitive data ({} {})",
                               at_->keyword, quoted(key)),
                   operand_span(key));
    }

    void check_port(const std::string& port) {
        const auto slash = port.rfind('/');
        const std::string proto = slash == std::string::npos ? "" : port.substr(slash + 1);
        if (proto != lower(proto))
            report("ExposeProtoCasing",
                   "Defined protocol '" + port + "' in EXPOSE instruction should be lowercase",
                   operand_span(port));
        if (port.find(':') != std::string::npos)
            report("ExposeInvalidFormat",
                   "EXPOSE instruction should not define an IP address or host-port mapping, "
                   "found '" +
                       port + "'",
                   operand_span(port));
    }

    Linter& linter_;
    bool shell_set_;
    const Instruction* at_ = nullptr;
    const Instruction* last_cmd_ = nullptr;
    const Instruction* last_entrypoint_ = nullptr;
    const Instruction* last_healthcheck_ = nullptr;
};

bool sets_shell(const Stage& stage) {
    return std::any_of(stage.instructions.begin(), stage.instructions.end(),
                       [](const Instruction& instruction) {
                           return std::holds_alternative<Shell>(instruction.value);
                       });
}

// The stage of this file that `stage` is built from; only an earlier one can be.
const Stage* base_stage(const File& file, const Stage& stage) {
    for (std::size_t base = stage.index; base-- > 0;)
        if (file.stages[base].from.stage_name == stage.from.reference) return &file.stages[base];
    return nullptr;
}

bool inherits_shell(const File& file, const Stage& stage) {
    const Stage* base = base_stage(file, stage);
    while (base && !sets_shell(*base))
        base = base_stage(file, *base);
    return base != nullptr;
}

}  // namespace

// Options and a "check=skip=..." comment above the instruction; what follows a blank explains it.
CheckOptions Linter::options_for(const std::vector<std::string>& comments) const {
    CheckOptions merged = options_;
    for (const std::string& comment : comments) {
        const auto directive = DirectiveReader("").read(comment);
        if (!directive || directive->name != "check") continue;
        try {
            const CheckOptions local = parse_check_options(first_word(directive->value));
            merged.skip_all |= local.skip_all;
            merged.experimental_all |= local.experimental_all;
            merged.skip.insert(merged.skip.end(), local.skip.begin(), local.skip.end());
            merged.experimental.insert(merged.experimental.end(), local.experimental.begin(),
                                       local.experimental.end());
        } catch (const Error&) {
            // A comment that is no option list is a comment.
        }
        break;
    }
    return merged;
}

void Linter::file(std::string_view rule, LineRange lines, std::string text,
                  const SourceSpan& place) {
    out_.push_back({Severity::Warning, lines, std::move(text), {}, std::string(rule), place});
}

void Linter::report(std::string_view rule, LineRange lines,
                    const std::vector<std::string>& comments, std::string text,
                    const SourceSpan& place) {
    const CheckOptions options = options_for(comments);
    if (!options.skip_all && !contains(options.skip, rule))
        file(rule, lines, std::move(text), place);
}

void Linter::report_experimental(std::string_view rule, LineRange lines,
                                 const std::vector<std::string>& comments, std::string text) {
    const CheckOptions options = options_for(comments);
    if (options.experimental_all || contains(options.experimental, rule))
        file(rule, lines, std::move(text), {});
}

void lint_file(const File& file, Linter& linter) {
    std::set<std::string> names;
    for (const Instruction& instruction : file.global_args)
        lint_arg_description(instruction, linter);
    for (const Stage& stage : file.stages) {
        lint_from_spelling(stage, linter);
        lint_stage_name(stage, names, linter);
        lint_platform(stage, linter);
        if (!stage.from.stage_name.empty())
            lint_description("FROM", {stage.from.stage_name}, stage.lines, stage.comments, linter);
        for (const Instruction& instruction : stage.instructions) {
            lint_maintainer(instruction, linter);
            lint_arg_description(instruction, linter);
        }
    }
    lint_word_casing(file, linter);
}

std::vector<Diagnostic> lint_stage(const File& file, std::size_t stage, bool shell_inherited) {
    std::vector<Diagnostic> findings;
    if (stage >= file.stages.size()) return findings;
    Linter linter(parse_check_options(file.check), findings);
    StageLint lint(linter, shell_inherited || inherits_shell(file, file.stages[stage]));
    for (const Instruction& instruction : file.stages[stage].instructions)
        lint.visit(instruction);
    return findings;
}

std::optional<Diagnostic> lint_finding(const File& file, std::string_view rule, LineRange lines,
                                       const std::vector<std::string>& comments, std::string text,
                                       const SourceSpan& place) {
    SHALE_ENSURE(find_rule(rule));
    std::vector<Diagnostic> findings;
    Linter(parse_check_options(file.check), findings)
        .report(rule, lines, comments, std::move(text), place);
    if (findings.empty()) return std::nullopt;
    return std::move(findings[0]);
}

bool looks_secret(std::string_view key) {
    constexpr std::array<std::string_view, 10> kSecret = {
        "apikey",   "auth",  "credential", "credentials", "key",
        "password", "pword", "passwd",     "secret",      "token"};
    constexpr std::array<std::string_view, 3> kHarmless = {"public", "file", "version"};
    return has_word(key, kSecret) && !has_word(key, kHarmless);
}

}  // namespace shale::dockerfile
