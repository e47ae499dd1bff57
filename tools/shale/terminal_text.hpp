// Text from strangers made safe and measurable for a terminal.
//
// The output of a RUN, the messages of a registry and the names in a tree are chosen by people we
// do not know; printed raw they could move the cursor, rename the window, hide lines or forge ours.
// Everything that reaches a terminal goes through printable() first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace shale::cli {

// One line: escape sequences, control characters (TAB stays), C1 controls and bidirectional
// overrides removed; invalid UTF-8 becomes U+FFFD; of a line rewritten with carriage returns the
// last state stays; newlines become spaces.
std::string printable(std::string_view line);

// A message, in which nothing was meant to overwrite anything: a carriage return, which a file name
// may hold, is shown as "\r".
std::string printable_message(std::string_view text);

// Columns on a terminal; `text` is printable. A TAB counts up to the next multiple of eight.
std::size_t display_width(std::string_view text);

// `text` cut to at most `columns`, ending in "…" if something was cut; TABs become spaces.
std::string fit(std::string_view text, std::size_t columns);

// `text` with every digest as people write it: its first twelve digits.
std::string with_short_digests(std::string_view text);

// Cuts a byte stream into printable lines. A line longer than kMaxLineBytes is delivered in pieces,
// so a program that never prints a newline costs bounded memory.
class LineAssembler {
  public:
    static constexpr std::size_t kMaxLineBytes = 64 << 10;
    using OnLine = std::function<void(std::string)>;

    explicit LineAssembler(OnLine on_line) : on_line_(std::move(on_line)) {}
    void feed(std::string_view bytes);
    void finish();  // delivers an unterminated last line
    // What is there of it by now: of a progress bar, its present state.
    std::string unfinished() const;

  private:
    OnLine on_line_;
    std::string partial_;
};

}  // namespace shale::cli
