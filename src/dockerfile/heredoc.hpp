// Recognising heredoc words in an instruction. Escaping here is always by backslash, whatever the
// escape directive says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

struct HeredocWord {
    std::string name;            // the delimiter, unquoted
    bool strip_tabs = false;     // <<-
    bool expand = true;          // no part of the delimiter was quoted or escaped
    std::string_view written{};  // from find_heredocs: the piece of the line
};

// "3<<-EOF" and the like; nullopt if `word` is not one heredoc word as a whole.
std::optional<HeredocWord> read_heredoc_word(std::string_view word);

struct LineHeredocs {
    std::vector<HeredocWord> words;  // in order
    std::string mistake;             // a delimiter with an open quote; then there are no words
    std::string_view culprit{};      // the piece of the line that is to blame for it
};
// The heredocs of a whole instruction line. Quoted "<<EOF" is text.
LineHeredocs find_heredocs(std::string_view line);

// Removes the leading tabs of every line, for <<-.
std::string strip_leading_tabs(std::string_view body);

}  // namespace shale::dockerfile
