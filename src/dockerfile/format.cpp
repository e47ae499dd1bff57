// The normal form of a Dockerfile.
//
// The file is taken apart as parse() does it and put together again statement by statement: keyword
// in upper case, one blank between words, four in front of a continued line, JSON arrays on one
// line, at most one empty line, an empty line before each FROM. Line breaks stay where the author
// put them. Blanks inside the text of a shell form are never touched: they may be inside quotes of
// a language that we do not know.
//
// Every statement is checked: cut again, its new text must give what its old text gave, or else the
// old lines stay. So the worst a mistake in here can do is to leave something as it was.
#include "characters.hpp"
#include "directives.hpp"
#include "heredoc.hpp"
#include "json_array.hpp"
#include "lines.hpp"
#include "mistake.hpp"
#include "statement.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace shale::dockerfile {
namespace {

constexpr std::string_view kIndent = "    ";

std::string_view without_line_end(std::string_view line) {
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.remove_suffix(1);
    return line;
}

// With their line ends.
std::vector<std::string_view> physical_lines(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        lines.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
    return lines;
}

bool is_comment(std::string_view line) {
    return trim_left(line).starts_with('#');
}

// What follows a '#' on the line that is read first would be taken for more than a comment.
bool reads_as_directive(std::string_view comment) {
    return comment.starts_with("#!") || DirectiveReader().read(comment).has_value();
}

bool same_words(const std::vector<FlagWord>& a, const std::vector<FlagWord>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const FlagWord& x, const FlagWord& y) { return x.text == y.text; });
}

// The FROM's AS and the type of a HEALTHCHECK are words whose case does not matter.
std::vector<std::string> comparable_args(const Statement& statement) {
    std::vector<std::string> args = statement.args;
    if (statement.keyword == "FROM" && args.size() == 3) args[1] = upper(args[1]);
    if (statement.keyword == "HEALTHCHECK" && !args.empty()) args[0] = upper(args[0]);
    return args;
}

std::string_view trigger_text(const Statement& statement) {
    std::string_view text = statement.original;
    text.remove_prefix(statement.word.size());
    text.remove_prefix(std::min(text.find_first_not_of(" \t\f\r"), text.size()));
    return text;
}

// What parse() makes of a statement depends on nothing else.
bool same_meaning(const Statement& a, const Statement& b) {
    if (a.keyword != b.keyword || !same_words(a.flags, b.flags) || a.json != b.json ||
        a.pairs != b.pairs || a.legacy_pair != b.legacy_pair ||
        comparable_args(a) != comparable_args(b) || !a.trigger != !b.trigger)
        return false;
    // An image keeps the text of a trigger as it is written.
    return !a.trigger || trigger_text(a) == trigger_text(b);
}

bool same_heredocs(std::string_view a, std::string_view b) {
    const LineHeredocs left = find_heredocs(a), right = find_heredocs(b);
    return std::equal(left.words.begin(), left.words.end(), right.words.begin(), right.words.end(),
                      [](const HeredocWord& x, const HeredocWord& y) {
                          return x.name == y.name && x.strip_tabs == y.strip_tabs &&
                                 x.expand == y.expand;
                      });
}

// One instruction without its heredoc bodies.
class StatementPrinter {
  public:
    StatementPrinter(const LogicalLine& line, const Statement& statement,
                     const std::vector<std::string_view>& source, char escape)
        : line_(line), statement_(statement), source_(source), escape_(escape) {}

    // In normal form, or as it stands if that would change what it means.
    std::string print() {
        const auto pretty = lay_out();
        return pretty && means_the_same(*pretty) ? *pretty : verbatim();
    }

  private:
    std::optional<std::string> lay_out() {
        out_ = statement_.keyword;
        at_line_ = line_.span_of(statement_.written_word).end.line;
        if (at_line_ != line_.lines.first) return std::nullopt;  // the word itself is cut
        for (const FlagWord& flag : statement_.flags)
            if (!add_word(flag.written, std::string(flag.written))) return std::nullopt;
        const std::size_t words = word_operands();
        for (std::size_t i = 0; i < words; ++i) {
            const std::string_view operand = statement_.operands[i];
            if (!add_word(operand, is_keyword(i) ? upper(operand) : std::string(operand)))
                return std::nullopt;
        }
        if (words < statement_.operands.size()) add_text(statement_.operands[words]);
        // Comments behind the last word: the file ends inside a continuation.
        for (std::uint32_t at = at_line_ + 1; at <= line_.lines.last; ++at)
            if (is_comment(source_line(at)))
                out_.append("\n").append(trim(without_line_end(source_line(at))));
        return std::move(out_);
    }

    // How many operands are words of their own; what is behind them is one text.
    std::size_t word_operands() const {
        const std::string& keyword = statement_.keyword;
        if (statement_.json) return keyword == "HEALTHCHECK" ? 1 : 0;
        if (keyword == "HEALTHCHECK" || statement_.legacy_pair) return 1;
        for (const std::string_view list :
             {"FROM", "COPY", "ADD", "VOLUME", "EXPOSE", "ARG", "ENV", "LABEL"})
            if (keyword == list) return statement_.operands.size();
        return 0;
    }

    bool is_keyword(std::size_t operand) const {
        if (statement_.keyword == "HEALTHCHECK") return operand == 0;
        return statement_.keyword == "FROM" && operand == 1 && statement_.operands.size() == 3;
    }

    std::string_view source_line(std::uint32_t number) const { return source_[number - 1]; }

    void break_to(std::uint32_t line, std::string_view gap) {
        out_.append(gap).push_back(escape_);
        out_.push_back('\n');
        for (std::uint32_t at = at_line_ + 1; at < line; ++at)
            if (is_comment(source_line(at)))
                out_.append(kIndent).append(trim(without_line_end(source_line(at)))).append("\n");
        at_line_ = line;
    }

    // False for a word that goes over a line end.
    bool add_word(std::string_view place, std::string text) {
        const SourceSpan span = line_.span_of(place);
        if (span.begin.line != span.end.line) return false;
        go_to(span.begin.line);
        out_ += text;
        return true;
    }

    void go_to(std::uint32_t line) {
        if (line == at_line_) {
            out_ += ' ';
        } else {
            break_to(line, " ");
            out_ += kIndent;
        }
    }

    // The rest of the line, as it is from its first character on.
    void add_text(std::string_view text) {
        const SourceSpan span = line_.span_of(text);
        go_to(span.begin.line);
        if (statement_.json && span.begin.line == span.end.line) {
            auto values = statement_.args;
            if (statement_.keyword == "HEALTHCHECK") values.erase(values.begin());
            out_ += write_json_array(values);
            return;
        }
        const std::string_view whole = line_.text;
        const auto start = static_cast<std::size_t>(text.data() - whole.data());
        const std::size_t end = text_end(start + text.size());
        for (std::size_t i = 0; i < line_.pieces.size(); ++i) {
            const bool last = i + 1 == line_.pieces.size();
            const std::size_t from = std::max(line_.pieces[i].offset, start);
            const std::size_t to = std::min(last ? whole.size() : line_.pieces[i + 1].offset, end);
            if (from >= to) continue;
            if (line_.pieces[i].start.line != at_line_) break_to(line_.pieces[i].start.line, "");
            out_ += whole.substr(from, to - from);
        }
    }

    // Blanks at the end of a trigger are part of it.
    std::size_t text_end(std::size_t end) const {
        return statement_.keyword == "ONBUILD" ? line_.text.size() : end;
    }

    bool means_the_same(const std::string& text) const {
        std::vector<Diagnostic> ignored;
        LineReader reader(text, ignored, escape_);
        const auto line = reader.next();
        if (!line || reader.next()) return false;
        try {
            return same_meaning(split_statement(line->text, escape_), statement_) &&
                   (!can_have_heredocs(statement_) || same_heredocs(line->text, line_.text));
        } catch (const Mistake&) {
            return false;
        }
    }

    std::string verbatim() const {
        std::string out;
        for (std::uint32_t at = line_.lines.first; at <= line_.lines.last; ++at) {
            std::string_view line = without_line_end(source_line(at));
            if (at == line_.lines.first) line = line.substr(line_.pieces[0].start.column - 1);
            if (trim(line).empty()) continue;  // says nothing in a continuation
            out.append(out.empty() ? "" : "\n").append(line);
        }
        return out;
    }

    const LogicalLine& line_;
    const Statement& statement_;
    const std::vector<std::string_view>& source_;
    const char escape_;
    std::string out_;
    std::uint32_t at_line_ = 0;
};

class Formatter {
  public:
    explicit Formatter(std::string_view text)
        : reader_(text, ignored_), source_(physical_lines(without_mark(text))) {}

    std::string format() {
        while (const auto line = reader_.next()) {
            const Statement statement = split_statement(line->text, reader_.escape());
            print_between(line->lines.first, statement.keyword == "FROM");
            put(StatementPrinter(*line, statement, source_, reader_.escape()).print() + "\n");
            seen_statement_ = true;
            print_bodies(*line, statement);
            next_ = reader_.line() + 1;
        }
        print_between(static_cast<std::uint32_t>(source_.size()) + 1, false);
        return std::move(out_);
    }

  private:
    static std::string_view without_mark(std::string_view text) {
        if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
        return text;
    }

    // Directives, comments and empty lines from next_ up to `end`.
    void print_between(std::uint32_t end, bool before_stage) {
        const std::uint32_t block = before_stage && seen_statement_ ? last_block(end) : 0;
        for (std::uint32_t at = next_; at < end; ++at) {
            if (at == block) want_blank_ = true;
            print_line(trim(without_line_end(source_[at - 1])));
        }
        if (block == end) want_blank_ = true;
    }

    // Where the comments directly above line `end` begin; `end` if there are none.
    std::uint32_t last_block(std::uint32_t end) const {
        while (end > next_ && is_comment(source_[end - 2]))
            --end;
        return end;
    }

    void print_line(std::string_view line) {
        if (!seen_statement_ && !directives_.done()) {
            if (const auto directive = directives_.read(line))
                return put("# " + directive->name + "=" + directive->value + "\n");
        }
        if (line.empty())
            want_blank_ = true;
        else if (is_comment(line))
            put(std::string(line) + "\n");
        // else a continuation of nothing at the end of the file
    }

    void put(const std::string& text) {
        // An empty line at the top goes, unless it keeps a comment from being a directive.
        if (want_blank_ && (!out_.empty() || reads_as_directive(text))) out_ += '\n';
        want_blank_ = false;
        out_ += text;
    }

    void print_bodies(const LogicalLine& line, const Statement& statement) {
        if (!can_have_heredocs(statement)) return;
        for (const HeredocWord& word : find_heredocs(line.text).words)
            reader_.read_heredoc_body(word.name, word.strip_tabs);
        for (std::uint32_t at = line.lines.last + 1; at <= reader_.line(); ++at)
            out_ += source_[at - 1];
        if (!out_.ends_with('\n')) out_ += '\n';
    }

    std::vector<Diagnostic> ignored_;
    LineReader reader_;
    std::vector<std::string_view> source_;
    DirectiveReader directives_;
    std::uint32_t next_ = 1;  // the first physical line that is not printed yet
    bool seen_statement_ = false;
    bool want_blank_ = false;
    std::string out_;
};

}  // namespace

std::string format(std::string_view text) {
    const ParseResult parsed = parse(text);
    for (const Diagnostic& diagnostic : parsed.diagnostics)
        if (diagnostic.severity == Severity::Error) fail(ErrorKind::Invalid, message(diagnostic));
    return Formatter(text).format();
}

}  // namespace shale::dockerfile
