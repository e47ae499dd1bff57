// Cutting arguments into words.
#include "words.hpp"

#include "characters.hpp"

#include <algorithm>

namespace shale::dockerfile {
namespace {

// Reads words of the quoted form from left to right.
class QuotedWords {
  public:
    QuotedWords(std::string_view text, char escape) : text_(text), escape_(escape) {}

    std::vector<std::string_view> split() {
        std::vector<std::string_view> words;
        for (text_ = trim_left(text_); !text_.empty(); text_ = trim_left(text_)) {
            const std::string_view word = next_word();
            if (!word.empty()) words.push_back(word);
        }
        return words;
    }

  private:
    // `text_` starts with the word; leaves the blank that ended it. An escape that ends the text is
    // left out of the word.
    std::string_view next_word() {
        const char* const start = text_.data();
        const char* end = start;
        char quote = '\0';
        while (!text_.empty()) {
            const char c = text_[0];
            if (!quote && is_space(decode_rune(text_).value)) break;
            const bool escapes = c == escape_ && quote != '\'';
            if (c == quote)
                quote = '\0';
            else if (!escapes && !quote && (c == '\'' || c == '"'))
                quote = c;
            skip_rune();
            if (escapes && text_.empty()) break;
            // Escape and escaped character both stay, so that the latter ends neither word nor
            // quote.
            if (escapes) skip_rune();
            end = text_.data();
        }
        return {start, static_cast<std::size_t>(end - start)};
    }

    void skip_rune() { text_.remove_prefix(decode_rune(text_).bytes); }

    std::string_view text_;
    char escape_;
};

}  // namespace

std::vector<std::string_view> split_list(std::string_view text) {
    std::vector<std::string_view> words;
    auto at = text.begin();
    while (true) {
        at = std::find_if_not(at, text.end(), is_list_gap);
        if (at == text.end()) return words;
        const auto end = std::find_if(at, text.end(), is_list_gap);
        words.emplace_back(at, end);
        at = end;
    }
}

std::vector<std::string_view> split_quoted(std::string_view text, char escape) {
    return QuotedWords(text, escape).split();
}

}  // namespace shale::dockerfile
