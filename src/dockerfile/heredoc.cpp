// Recognising heredoc words.
//
// Two passes, because a heredoc is recognised in the line but means something as a word: LineWords
// cuts the whole line as a shell would, quotes kept; then each word is looked at on its own and
// unquoted. Variables play no part: "$X" in a delimiter is just text.
#include "heredoc.hpp"

#include "characters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shale::dockerfile {
namespace {

bool is_inner_gap(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

// Cuts a line at unquoted blanks and keeps quotes and escapes in the words. Blanks directly behind
// "<<" or "<<-" do not cut: "<< EOF" is one word.
class LineWords {
  public:
    explicit LineWords(std::string_view line) : line_(line) {}

    std::optional<std::string_view> next() {
        skip_gap();
        if (at_ >= line_.size()) return std::nullopt;
        const std::size_t start = at_;
        while (at_ < line_.size() && !is_space(rune().value))
            step();
        return line_.substr(start, at_ - start);
    }
    char open_quote() const { return open_quote_; }

  private:
    Rune rune() const { return decode_rune(line_.substr(at_)); }

    void skip_gap() {
        while (at_ < line_.size() && is_space(rune().value))
            at_ += rune().bytes;
    }

    void step() {
        const char c = line_[at_];
        if (c == '\'' || c == '"') return quoted_part(c);
        if (c == '\\' && at_ + 1 < line_.size()) {
            ++at_;  // and the escaped character below
        } else if (line_.substr(at_).starts_with("<<")) {
            at_ += 2;
            if (line_.substr(at_).starts_with('-')) ++at_;
            while (at_ < line_.size() && is_inner_gap(line_[at_]))
                ++at_;
            return;
        }
        at_ += rune().bytes;
    }

    void quoted_part(char quote) {
        for (++at_; at_ < line_.size(); ++at_) {
            if (line_[at_] == quote) {
                ++at_;
                return;
            }
            if (quote == '"' && line_[at_] == '\\' && at_ + 1 < line_.size()) ++at_;
        }
        open_quote_ = quote;
    }

    std::string_view line_;
    std::size_t at_ = 0;
    char open_quote_ = '\0';
};

struct Redirection {
    bool dash = false;
    std::string_view delimiter;  // still quoted, not empty
};

// ^\d*<<-?\s*[^<]+$
std::optional<Redirection> split_redirection(std::string_view word) {
    const auto digits =
        std::find_if_not(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
    word.remove_prefix(static_cast<std::size_t>(digits - word.begin()));
    if (!word.starts_with("<<")) return std::nullopt;
    word.remove_prefix(2);
    Redirection found;
    found.dash = word.starts_with('-');
    if (found.dash) word.remove_prefix(1);
    found.delimiter = trim_left(word);
    if (found.delimiter.empty() || found.delimiter.find('<') != std::string_view::npos)
        return std::nullopt;
    return found;
}

// Removes quotes and escapes; notes whether there were any. nullopt for an open quote or a blank
// outside quotes: then it is not one word.
std::optional<HeredocWord> unquote(std::string_view text) {
    HeredocWord word;
    char quote = '\0';
    while (!text.empty()) {
        const char c = text[0];
        const Rune rune = decode_rune(text);
        const bool escapes = c == '\\' && quote != '\'' && text.size() > 1 &&
                             (!quote || text[1] == '"' || text[1] == '\\' || text[1] == '$');
        if (!quote && is_space(rune.value)) return std::nullopt;
        if (c == quote || (!quote && (c == '\'' || c == '"'))) {
            quote = quote ? '\0' : c;
            word.expand = false;
            text.remove_prefix(1);
            continue;
        }
        if (escapes || (c == '\\' && !quote)) {
            word.expand = false;
            text.remove_prefix(1);
            if (text.empty()) break;
        }
        const std::size_t size = decode_rune(text).bytes;
        word.name.append(text.substr(0, size));
        text.remove_prefix(size);
    }
    if (quote || word.name.empty()) return std::nullopt;
    return word;
}

}  // namespace

std::optional<HeredocWord> read_heredoc_word(std::string_view word) {
    const auto redirection = split_redirection(word);
    if (!redirection) return std::nullopt;
    auto heredoc = unquote(redirection->delimiter);
    if (heredoc) heredoc->strip_tabs = redirection->dash;
    return heredoc;
}

LineHeredocs find_heredocs(std::string_view line) {
    LineHeredocs found;
    if (line.find("<<") == std::string_view::npos) return found;
    LineWords words(line);
    while (const auto word = words.next()) {
        if (words.open_quote()) {
            // Elsewhere in a line an open quote is the shell's business, and hides all heredocs.
            if (!split_redirection(*word)) return {};
            const std::string_view kind =
                words.open_quote() == '"' ? "double-quote" : "single-quote";
            return {{},
                    fmt::format("failed to process {}: unexpected end of statement while "
                                "looking for matching {}",
                                quoted(*word), kind),
                    *word};
        }
        auto heredoc = read_heredoc_word(*word);
        if (!heredoc) continue;
        heredoc->written = *word;
        found.words.push_back(std::move(*heredoc));
    }
    return found;
}

std::string strip_leading_tabs(std::string_view body) {
    std::string out;
    out.reserve(body.size());
    bool at_start = true;
    for (char c : body) {
        if (at_start && c == '\t') continue;
        out.push_back(c);
        at_start = c == '\n';
    }
    return out;
}

}  // namespace shale::dockerfile
