// What is shown to people: diagnostics, source excerpts, and the short form of heredocs.
#include "characters.hpp"
#include "heredoc.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::dockerfile {

namespace {

// What takes the width of `text` on a terminal: a blank for a character, a tab for a tab, so that
// what follows stands below what follows the text.
std::string blank_out(std::string_view text) {
    std::string out;
    for (; !text.empty(); text.remove_prefix(decode_rune(text).bytes))
        out.push_back(text[0] == '\t' ? '\t' : ' ');
    return out;
}

// The line of carets below a source line, up to its end if the place goes on behind it.
std::string carets(std::string_view line, const SourceSpan& place) {
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    const std::size_t start = std::min<std::size_t>(place.begin.column - 1, line.size());
    const std::size_t end = place.end.line == place.begin.line
                                ? std::min<std::size_t>(place.end.column - 1, line.size())
                                : line.size();
    const std::string below = blank_out(line.substr(start, std::max(end, start) - start));
    return fmt::format("     |     {}{}\n", blank_out(line.substr(0, start)),
                       std::string(std::max<std::size_t>(below.size(), 1), '^'));
}

// What stands between the first two double quotes.
std::string_view first_quoted(std::string_view message) {
    const auto start = message.find('"');
    const auto end = start == message.npos ? start : message.find('"', start + 1);
    return end == message.npos ? std::string_view() : message.substr(start + 1, end - start - 1);
}

}  // namespace

std::string message(const Diagnostic& diagnostic) {
    return diagnostic.hint.empty() ? diagnostic.text
                                   : diagnostic.text + " (" + diagnostic.hint + ")";
}

std::string excerpt(const File& file, LineRange lines) {
    return excerpt(file, lines, {});
}

// Two lines of context on each side of a single line, one around several.
std::string excerpt(const File& file, LineRange lines, const SourceSpan& place) {
    const auto total = static_cast<std::uint32_t>(file.source.size());
    if (lines.first < 1 || lines.first > total) return {};
    const std::uint32_t last = std::clamp(lines.last, lines.first, total);
    const std::uint32_t context = lines.first == last ? 2 : 1;
    const std::uint32_t from = lines.first > context ? lines.first - context : 1;
    const std::uint32_t to = std::min(last + context, total);
    constexpr std::string_view kRule = "--------------------\n";
    const bool pointed = place.begin.line >= lines.first && place.begin.line <= last;
    std::string out = pointed ? fmt::format("{}:{}:{}\n{}", file.name, place.begin.line,
                                            place.begin.column, kRule)
                              : fmt::format("{}:{}\n{}", file.name, lines.first, kRule);
    for (std::uint32_t line = from; line <= to; ++line) {
        const bool marked = line >= lines.first && line <= last;
        out.append(
            fmt::format(" {:3} | {} {}\n", line, marked ? ">>>" : "   ", file.source[line - 1]));
        if (pointed && line == place.begin.line) out += carets(file.source[line - 1], place);
    }
    return out.append(kRule);
}

SourceSpan find_culprit(const std::vector<SourceWord>& flags,
                        const std::vector<SourceWord>& operands, std::string_view message) {
    message = message.substr(0, message.find(" (did you mean "));  // which is not what is wrong
    const SourceWord* culprit = nullptr;
    for (const auto* words : {&flags, &operands})
        for (const SourceWord& word : *words) {
            const bool longer = !culprit || word.text.size() > culprit->text.size();
            if (longer && !word.text.empty() && message.find(word.text) != message.npos)
                culprit = &word;
        }
    if (culprit) return culprit->span;
    // The value of "name=value", say: what the message quotes first is a part of a word.
    const std::string_view quoted_part = first_quoted(message);
    for (const auto* words : {&operands, &flags})
        for (const SourceWord& word : *words) {
            const auto at = quoted_part.empty() ? std::string::npos : word.text.find(quoted_part);
            if (at == std::string::npos || word.span.begin.line != word.span.end.line) continue;
            SourceSpan part = word.span;
            part.begin.column += static_cast<std::uint32_t>(at);
            part.end = part.begin;
            part.end.column += static_cast<std::uint32_t>(quoted_part.size());
            return part;
        }
    return {};
}

HeredocRun heredoc_run(const Command& command) {
    SHALE_ENSURE(!command.heredocs.empty() && !command.argv.empty());
    const Heredoc& first = command.heredocs[0];
    if (read_heredoc_word(command.argv[0])) {
        if (first.body.starts_with("#!")) return {{}, first};
        return {first.body, std::nullopt};
    }
    HeredocRun run{command.argv[0], std::nullopt};
    for (const Heredoc& heredoc : command.heredocs)
        run.script.append("\n").append(heredoc.raw_body).append(heredoc.name);
    return run;
}

std::string heredoc_summary(const Heredoc& heredoc) {
    const std::string_view body = trim(heredoc.body);
    const auto end = body.find('\n');
    std::string_view line = body.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return end == std::string_view::npos ? std::string(line) : std::string(line) + "...";
}

}  // namespace shale::dockerfile
