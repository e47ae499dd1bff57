// Bytes in, logical lines out: line ends, the byte order mark, the length limit, parser directives,
// comments, and continuation. Heredoc bodies are read here too, because they are physical lines.
#pragma once

#include "directives.hpp"

#include <shale/dockerfile.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

// In bytes, without the line feed.
inline constexpr std::size_t kMaxLineBytes = 65535;

struct LogicalLine {
    // A part of `text` that comes from one physical line.
    struct Piece {
        std::size_t offset;  // in `text`
        Position start;
    };

    std::string text;  // continuations joined, leading blanks removed
    std::vector<Piece> pieces;
    LineRange lines;
    std::vector<std::string> comments;  // directly above, without '#'
    bool blank_continuation = false;    // a blank line was skipped inside

    // Where a part of `text` stands in the file; no place for a view of anything else.
    SourceSpan span_of(std::string_view part) const;

  private:
    Position position_of(std::size_t offset) const;
};

class LineReader {
  public:
    // `text` outlives the reader. Problems of lines and directives go to `diagnostics`.
    LineReader(std::string_view text, std::vector<Diagnostic>& diagnostics);
    // For a text cut out of a file: no directives, `escape` as the file has it.
    LineReader(std::string_view text, std::vector<Diagnostic>& diagnostics, char escape);

    // The next instruction line; nullopt at the end of the file.
    std::optional<LogicalLine> next();

    // Consumes lines up to the terminator `name` and returns the raw text before it; nullopt if the
    // file ends first, and then everything is consumed.
    std::optional<std::string> read_heredoc_body(std::string_view name, bool strip_tabs);

    // A line over the limit ended the file early. It was reported; what is missing is no news.
    bool cut_short() const { return cut_short_; }
    std::uint32_t line() const { return line_; }  // of the last physical line read
    char escape() const { return escape_; }
    const std::string& check() const { return check_; }
    std::uint32_t check_line() const { return check_line_; }

    // To undo a guess: seek() back to what position() returned.
    struct Position {
        std::size_t offset;
        std::uint32_t line;
    };
    Position position() const { return {offset_, line_}; }
    void seek(Position position) {
        offset_ = position.offset;
        line_ = position.line;
    }

  private:
    std::optional<std::string_view> read_physical();
    bool read_directive(std::string_view line);
    void note_comment(std::string_view line);
    bool take_continuation(std::string_view& line) const;
    void join_continuations(LogicalLine& logical);

    std::string_view text_;
    std::vector<Diagnostic>& diagnostics_;
    std::size_t offset_ = 0;
    std::uint32_t line_ = 0;
    bool cut_short_ = false;
    char escape_ = '\\';
    std::string check_;
    std::uint32_t check_line_ = 0;
    DirectiveReader directives_;
    std::vector<std::string> comments_;
};

}  // namespace shale::dockerfile
