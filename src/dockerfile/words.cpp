// Cutting arguments into words.
#include "words.hpp"

#include "characters.hpp"

#include <algorithm>
#include <utility>

namespace shale::dockerfile {
namespace {

// Reads words of the quoted form from left to right.
class QuotedWords {
  public:
    QuotedWords(std::string_view text, char escape) : text_(text), escape_(escape) {}

    std::vector<std::string> split() {
        std::vector<std::string> words;
        for (text_ = trim_left(text_); !text_.empty(); text_ = trim_left(text_)) {
            std::string word = next_word();
            if (!word.empty()) words.push_back(std::move(word));
        }
        return words;
    }

  private:
    // `text_` starts with the word; leaves the blank that ended it.
    std::string next_word() {
        std::string word;
        char quote = '\0';
        while (!text_.empty()) {
            const char c = text_[0];
            if (!quote && is_space(decode_rune(text_).value)) break;
            if (c == escape_ && quote != '\'') {
                copy_escaped(word);
                continue;
            }
            if (c == quote)
                quote = '\0';
            else if (!quote && (c == '\'' || c == '"'))
                quote = c;
            move_rune(word);
        }
        return word;
    }

    // Escape and escaped character both stay, so that the latter ends neither word nor quote.
    void copy_escaped(std::string& word) {
        if (text_.size() == 1) return text_.remove_prefix(1);
        move_rune(word);
        move_rune(word);
    }

    void move_rune(std::string& word) {
        const std::size_t size = decode_rune(text_).bytes;
        word.append(text_.substr(0, size));
        text_.remove_prefix(size);
    }

    std::string_view text_;
    char escape_;
};

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> words;
    auto at = text.begin();
    while (true) {
        at = std::find_if_not(at, text.end(), is_list_gap);
        if (at == text.end()) return words;
        const auto end = std::find_if(at, text.end(), is_list_gap);
        words.emplace_back(at, end);
        at = end;
    }
}

std::vector<std::string> split_quoted(std::string_view text, char escape) {
    return QuotedWords(text, escape).split();
}

}  // namespace shale::dockerfile
