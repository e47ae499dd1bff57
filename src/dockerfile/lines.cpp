// Joining physical lines into logical ones.
//
// The rules that surprise: only the first physical line of an instruction loses its leading blanks;
// a continuation is joined without a blank in between; comment lines inside a continuation vanish;
// a doubled escape character at the end of a line is not a continuation.
#include "lines.hpp"

#include "characters.hpp"
#include "mistake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

namespace shale::dockerfile {
namespace {

std::string_view without_line_end(std::string_view line) {
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.remove_suffix(1);
    return line;
}

bool is_comment(std::string_view line) {
    return trim_left(line).starts_with('#');
}

// Of the first byte of `part`, which is a piece of the physical line.
std::uint32_t column_of(std::string_view part, std::string_view physical) {
    return static_cast<std::uint32_t>(part.data() - physical.data()) + 1;
}

std::string_view without_tabs(std::string_view line) {
    line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
    return line;
}

}  // namespace

LineReader::LineReader(std::string_view text, std::vector<Diagnostic>& diagnostics)
    : text_(text), diagnostics_(diagnostics) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
}

LineReader::LineReader(std::string_view text, std::vector<Diagnostic>& diagnostics, char escape)
    : text_(text), diagnostics_(diagnostics), escape_(escape) {
    directives_.stop();
}

// One physical line with its line end. A line over the limit ends the file: what follows it cannot
// be trusted to be what the author meant.
std::optional<std::string_view> LineReader::read_physical() {
    if (offset_ >= text_.size()) return std::nullopt;
    const std::size_t end = text_.find('\n', offset_);
    const std::size_t length = std::min(end, text_.size()) - offset_;
    ++line_;
    if (length > kMaxLineBytes) {
        offset_ = text_.size();
        cut_short_ = true;
        diagnostics_.push_back(
            {Severity::Error,
             {line_, line_},
             fmt::format("dockerfile line greater than max allowed size of {}", kMaxLineBytes),
             {},
             {}});
        return std::nullopt;
    }
    const std::size_t taken = end == std::string_view::npos ? length : length + 1;
    const std::string_view line = text_.substr(offset_, taken);
    offset_ += taken;
    return line;
}

std::optional<LogicalLine> LineReader::next() {
    while (auto physical = read_physical()) {
        std::string_view line = trim_left(without_line_end(*physical));
        if (read_directive(line)) continue;
        if (is_comment(line)) {
            note_comment(line);
            continue;
        }
        if (line.empty()) continue;
        LogicalLine logical;
        logical.lines = {line_, line_};
        const bool continues = take_continuation(line);
        logical.pieces.push_back({0, {line_, column_of(line, *physical)}});
        logical.text = line;
        if (continues) join_continuations(logical);
        logical.lines.last = line_;
        if (trim(logical.text).empty()) continue;
        logical.comments = std::exchange(comments_, {});
        return logical;
    }
    return std::nullopt;
}

void LineReader::join_continuations(LogicalLine& logical) {
    while (auto physical = read_physical()) {
        std::string_view line = without_line_end(*physical);
        if (is_comment(line)) continue;
        if (trim_left(line).empty()) {
            logical.blank_continuation = true;
            continue;
        }
        const bool continues = take_continuation(line);
        if (!line.empty()) logical.pieces.push_back({logical.text.size(), {line_, 1}});
        logical.text.append(line);
        if (!continues) return;
    }
}

Position LogicalLine::position_of(std::size_t offset) const {
    const auto behind = std::upper_bound(
        pieces.begin(), pieces.end(), offset,
        [](std::size_t wanted, const Piece& piece) { return wanted < piece.offset; });
    const Piece& piece = *std::prev(behind);
    return {piece.start.line,
            piece.start.column + static_cast<std::uint32_t>(offset - piece.offset)};
}

SourceSpan LogicalLine::span_of(std::string_view part) const {
    const std::less_equal<const char*> ordered;  // over any two pointers, unlike <=
    const char* const end = text.data() + text.size();
    if (!ordered(text.data(), part.data()) || !ordered(part.data() + part.size(), end)) return {};
    const auto offset = static_cast<std::size_t>(part.data() - text.data());
    if (part.empty()) return {position_of(offset), position_of(offset)};
    Position last = position_of(offset + part.size() - 1);
    ++last.column;
    return {position_of(offset), last};
}

// Cuts a continuation mark off the end of `line`, with the blanks behind it.
bool LineReader::take_continuation(std::string_view& line) const {
    const std::size_t last = line.find_last_not_of(" \t");
    if (last == std::string_view::npos || line[last] != escape_) return false;
    if (last > 0 && line[last - 1] == escape_) return false;
    line = line.substr(0, last);
    return true;
}

bool LineReader::read_directive(std::string_view line) {
    if (directives_.done()) return false;
    try {
        const auto directive = directives_.read(line);
        if (!directive) return false;
        if (directive->name == "check") {
            check_ = directive->value;
            check_line_ = line_;
        }
        if (directive->name != "escape") return true;
        if (directive->value != "\\" && directive->value != "`")
            reject("invalid escape token '" + directive->value + "' does not match ` or \\");
        escape_ = directive->value[0];
    } catch (const Mistake& mistake) {
        diagnostics_.push_back({Severity::Error, {line_, line_}, mistake.text, mistake.hint, {}});
    }
    return true;
}

// A bare '#' separates: what stands above it does not describe the next instruction.
void LineReader::note_comment(std::string_view line) {
    const std::string_view text = trim(line.substr(1));
    if (text.empty())
        comments_.clear();
    else
        comments_.emplace_back(text);
}

std::optional<std::string> LineReader::read_heredoc_body(std::string_view name, bool strip_tabs) {
    std::string body;
    while (const auto line = read_physical()) {
        std::string_view candidate = without_line_end(*line);
        if (strip_tabs) candidate = without_tabs(candidate);
        if (candidate == name) return body;
        body.append(*line);
    }
    return std::nullopt;
}

}  // namespace shale::dockerfile
