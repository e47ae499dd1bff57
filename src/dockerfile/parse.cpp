// From text to stages.
//
// The loop: read a logical line, cut it into a statement (first phase), read the heredoc bodies
// that belong to it, turn it into a typed instruction (second phase), and hang it into the stage. A
// mistake in one instruction becomes a diagnostic and the loop goes on; care is taken that one
// mistake does not drag a tail of others behind it. Mistakes of the second phase carry the prefix
// "dockerfile parse error on line N: ", as users know it.
#include "characters.hpp"
#include "heredoc.hpp"
#include "instructions.hpp"
#include "lines.hpp"
#include "lint.hpp"
#include "mistake.hpp"
#include "statement.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shale::dockerfile {
namespace {

// Enough for a person; a binary file given by accident would otherwise fill the screen.
constexpr std::size_t kMaxErrors = 100;

class FileParser {
  public:
    explicit FileParser(std::string_view text) : reader_(text, diagnostics_) {}

    // Every line of a file.
    void parse_file() {
        while (auto line = reader_.next()) {
            parse_line(*line);
            if (error_count() > kMaxErrors) return;
        }
        finish_file();
    }

    // The only line of a trigger.
    void parse_trigger(LineRange lines) {
        open_stage();
        std::size_t count = 0;
        while (auto line = reader_.next()) {
            ++count;
            parse_line(*line);
        }
        if (count != 1 && ok()) error({}, "onbuild trigger should be a single expression");
        if (file_.stages.size() > 1) error({}, "FROM isn't allowed as an ONBUILD trigger");
        // Their own places are in a text that nobody can see.
        for (Diagnostic& diagnostic : diagnostics_) {
            diagnostic.lines = lines;
            diagnostic.place = {};
        }
        for (Instruction& instruction : file_.stages[0].instructions) {
            instruction.lines = lines;
            instruction.word.span = {};
            for (auto* words : {&instruction.flags, &instruction.operands})
                for (SourceWord& word : *words)
                    word.span = {};
        }
    }

    // The rules for the whole file, under the options in force.
    void lint(std::optional<std::string> check) {
        const bool from_file = !check;
        file_.check = from_file ? reader_.check() : *std::move(check);
        CheckOptions options;
        try {
            options = parse_check_options(file_.check);
        } catch (const Error& error) {
            // A wrong directive is one more mistake of the file; a wrong option is the caller's.
            if (!from_file) throw;
            this->error({reader_.check_line(), reader_.check_line()},
                        std::string("failed to parse check options: ") + error.what());
        }
        Linter linter(std::move(options), diagnostics_);
        for (const auto& [lines, comments] : blank_continuations_)
            linter.report("NoEmptyContinuation", lines, comments, "Empty continuation line");
        lint_file(file_, linter);
    }

    ParseResult take() {
        file_.escape = reader_.escape();
        std::stable_sort(
            diagnostics_.begin(), diagnostics_.end(),
            [](const Diagnostic& a, const Diagnostic& b) { return a.lines < b.lines; });
        return {std::move(file_), std::move(diagnostics_)};
    }

  private:
    void error(LineRange lines, std::string text, std::string hint = {}, SourceSpan place = {}) {
        diagnostics_.push_back(
            {Severity::Error, lines, std::move(text), std::move(hint), {}, place});
    }
    std::size_t error_count() const {
        return static_cast<std::size_t>(
            std::count_if(diagnostics_.begin(), diagnostics_.end(),
                          [](const Diagnostic& d) { return d.severity == Severity::Error; }));
    }
    bool ok() const { return error_count() == 0; }

    void parse_line(LogicalLine& line) {
        if (line.blank_continuation)
            blank_continuations_.emplace_back(LineRange{line.lines.last, line.lines.last},
                                              line.comments);
        Statement statement;
        try {
            statement = split_statement(line.text, reader_.escape());
            read_heredocs(statement, line);
        } catch (const Mistake& mistake) {
            line.lines.last = reader_.line();
            error(line.lines, mistake.text, mistake.hint, place_of(mistake, statement, line));
            if (upper(line.text.substr(0, 4)) == "FROM") open_stage();
            return;
        }
        line.lines.last = reader_.line();
        statement.lines = line.lines;
        try {
            place(statement, line);
        } catch (const Mistake& mistake) {
            error(line.lines,
                  fmt::format("dockerfile parse error on line {}: {}", line.lines.first,
                              mistake.text),
                  mistake.hint, place_of(mistake, statement, line));
            if (statement.keyword == "FROM" || mistake.hint == "did you mean FROM?" ||
                mistake.hint == "did you mean from?")
                open_stage();  // so that what follows is not blamed for having no stage
        }
    }

    // The very word to blame; the instruction word if the whole line is.
    static SourceSpan place_of(const Mistake& mistake, const Statement& statement,
                               const LogicalLine& line) {
        if (mistake.at.data()) return line.span_of(mistake.at);
        if (mistake.part == Part::Flag && mistake.index < statement.flags.size())
            return line.span_of(statement.flags[mistake.index].written);
        if (mistake.part == Part::Operand && mistake.index < statement.operands.size())
            return line.span_of(statement.operands[mistake.index]);
        const std::string_view text = line.text;
        return line.span_of({text.begin(), std::find_if(text.begin(), text.end(), is_list_gap)});
    }

    void read_heredocs(Statement& statement, const LogicalLine& line) {
        if (!is_instruction(statement.keyword)) return skip_heredocs(line);
        if (!can_have_heredocs(statement)) return;
        LineHeredocs found = find_heredocs(line.text);
        if (!found.mistake.empty()) reject_at(found.culprit, std::move(found.mistake));
        for (HeredocWord& word : found.words) {
            auto body = reader_.read_heredoc_body(word.name, word.strip_tabs);
            if (!body && reader_.cut_short()) return;
            if (!body) reject_at(word.written, "unterminated heredoc");
            Heredoc heredoc{
                std::move(word.name), {}, std::move(*body), word.expand, word.strip_tabs};
            heredoc.body =
                heredoc.strip_tabs ? strip_leading_tabs(heredoc.raw_body) : heredoc.raw_body;
            statement.heredocs.push_back(std::move(heredoc));
        }
    }

    // A misspelt RUN must not turn the lines of its script into instructions. If the bodies do end
    // somewhere, they were bodies.
    void skip_heredocs(const LogicalLine& line) {
        const auto start = reader_.position();
        for (const HeredocWord& word : find_heredocs(line.text).words)
            if (!reader_.read_heredoc_body(word.name, word.strip_tabs)) return reader_.seek(start);
    }

    // What Stage and Instruction have in common.
    template <typename Line>
    static void describe(Line& out, const Statement& statement, LogicalLine& line) {
        out.lines = statement.lines;
        out.original = trim(statement.original);
        out.comments = std::move(line.comments);
        out.word = {statement.word, line.span_of(statement.written_word)};
        for (const FlagWord& flag : statement.flags)
            out.flags.push_back({flag.text, line.span_of(flag.written)});
        for (const std::string_view operand : statement.operands)
            out.operands.push_back({std::string(operand), line.span_of(operand)});
    }

    void place(const Statement& statement, LogicalLine& line) {
        if (statement.keyword == "FROM") {
            From from = build_from(statement);
            Stage& stage = open_stage();
            stage.from = std::move(from);
            return describe(stage, statement, line);
        }
        Instruction instruction;
        instruction.value = build_instruction(statement, reader_.escape());
        instruction.keyword = statement.keyword;
        describe(instruction, statement, line);
        if (!file_.stages.empty())
            file_.stages.back().instructions.push_back(std::move(instruction));
        else if (std::holds_alternative<Arg>(instruction.value))
            file_.global_args.push_back(std::move(instruction));
        else
            report_homeless(instruction);
    }

    // Once is enough: every line up to the first FROM has the same trouble.
    void report_homeless(const Instruction& instruction) {
        if (!std::exchange(reported_homeless_, true))
            error(instruction.lines, "no build stage in current context", {},
                  instruction.word.span);
    }

    Stage& open_stage() {
        Stage& stage = file_.stages.emplace_back();
        stage.index = static_cast<std::uint32_t>(file_.stages.size() - 1);
        return stage;
    }

    void finish_file() {
        if (!ok() || !file_.stages.empty()) return;
        if (reader_.line() == 0)
            error({}, "the Dockerfile cannot be empty");
        else if (file_.global_args.empty())
            error({}, "file with no instructions");
        else
            error({}, "dockerfile contains no stages to build");
    }

    std::vector<Diagnostic> diagnostics_;
    LineReader reader_;
    File file_;
    bool reported_homeless_ = false;
    std::vector<std::pair<LineRange, std::vector<std::string>>> blank_continuations_;
};

std::vector<std::string> split_lines(std::string_view text) {
    std::vector<std::string> lines;
    while (true) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines.emplace_back(line);
        if (end == std::string_view::npos) return lines;
        text.remove_prefix(end + 1);
    }
}

}  // namespace

bool ParseResult::ok() const {
    return std::none_of(diagnostics.begin(), diagnostics.end(),
                        [](const Diagnostic& d) { return d.severity == Severity::Error; });
}

ParseResult parse(std::string_view text, std::string file_name, std::optional<std::string> check) {
    FileParser parser(text);
    parser.parse_file();
    parser.lint(std::move(check));
    ParseResult result = parser.take();
    result.file.name = std::move(file_name);
    result.file.source = split_lines(text);
    result.file.syntax = detect_syntax(text);
    return result;
}

ParseResult parse_trigger(std::string_view text, LineRange lines) {
    FileParser parser(text);
    parser.parse_trigger(lines);
    return parser.take();
}

}  // namespace shale::dockerfile
