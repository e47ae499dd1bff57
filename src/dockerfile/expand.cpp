// Variable expansion, the third phase of a Dockerfile.
//
// One recursive reader walks the word: outside quotes, in double quotes, in the word part of
// ${name:-word}. Everything special is ASCII, so it works on bytes and copies the rest through.
// Nesting and output size are bounded: both are in the hands of whoever wrote the file.
#include "characters.hpp"
#include "mistake.hpp"
#include "substitution.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>
#include <utility>

namespace shale::dockerfile {
namespace {

constexpr int kMaxNesting = 100;
// Of a word in an error message.
constexpr std::size_t kMaxShownBytes = 200;

// Collects the result; in splitting mode also cuts it at blanks that no quote protects.
class Output {
  public:
    explicit Output(bool splitting = false) : splitting_(splitting) {}

    void add_protected(std::string_view text) {
        count(text.size());
        text_.append(text);
    }
    void add(std::string_view text) {
        if (!splitting_) return add_protected(text);
        while (!text.empty()) {
            const Rune rune = decode_rune(text);
            if (is_space(rune.value)) {
                count(rune.bytes);
                end_word();
            } else {
                add_protected(text.substr(0, rune.bytes));
            }
            text.remove_prefix(rune.bytes);
        }
    }
    std::string take_text() { return std::move(text_); }
    std::vector<std::string> take_words() {
        end_word();
        return std::move(words_);
    }

  private:
    void count(std::size_t bytes) {
        bytes_ += bytes;
        if (bytes_ > kMaxExpandedBytes) reject_expansion();
    }
    void end_word() {
        if (!text_.empty()) words_.push_back(std::exchange(text_, {}));
    }

    bool splitting_;
    std::size_t bytes_ = 0;  // of all words and the blanks between them
    std::string text_;
    std::vector<std::string> words_;
};

struct Syntax {
    char escape = '\\';
    bool quotes = true;  // false in heredoc bodies, where quotes are data
};

class Expander {
  public:
    // `unset`, if given, receives the names that are asked for plainly and are not set.
    Expander(std::string_view text, const Lookup& lookup, Syntax syntax,
             std::vector<std::string>* unset = nullptr)
        : text_(text), lookup_(lookup), syntax_(syntax), unset_(unset) {}

    void expand_all(Output& out) { copy_until('\0', false, out); }

  private:
    bool at_end() const { return at_ >= text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[at_]; }
    bool take(char c) {
        if (at_end() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    std::string_view take_rune() {
        const std::string_view rest = text_.substr(at_);
        const std::size_t size = decode_rune(rest).bytes;
        at_ += size;
        return rest.substr(0, size);
    }

    // Copies up to `stop`, which is consumed, or to the end when there is none. With `raw_escapes`
    // escape characters stay in front of what they escape, for a pattern to see.
    void copy_until(char stop, bool raw_escapes, Output& out) {
        const char specials[] = {'$', '\'', '"', syntax_.escape, stop};
        const std::string_view special(specials, stop ? 5 : 4);
        while (!at_end()) {
            const char c = peek();
            if (stop && take(stop)) return;
            if (c == '$') {
                out.add(dollar());
            } else if (c == '\'' && syntax_.quotes) {
                out.add_protected(single_quoted());
            } else if (c == '"' && syntax_.quotes) {
                double_quoted(raw_escapes, out);
            } else if (c == syntax_.escape) {
                escaped(raw_escapes, out);
            } else {
                const std::size_t end =
                    std::min(text_.find_first_of(special, at_ + 1), text_.size());
                out.add(text_.substr(at_, end - at_));
                at_ = end;
            }
        }
        if (stop)
            reject(std::string("unexpected end of statement while looking for matching ") + stop);
    }

    void escaped(bool raw_escapes, Output& out) {
        if (raw_escapes) out.add_protected(text_.substr(at_, 1));
        ++at_;
        if (!at_end()) out.add_protected(take_rune());
    }

    std::string_view single_quoted() {
        const std::size_t end = text_.find('\'', at_ + 1);
        if (end == std::string_view::npos) {
            at_ = text_.size();
            reject("unexpected end of statement while looking for matching single-quote");
        }
        const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return inside;
    }

    void double_quoted(bool raw_escapes, Output& out) {
        ++at_;
        while (!at_end()) {
            if (take('"')) return;
            if (peek() == '$') {
                out.add_protected(dollar());
            } else if (peek() == syntax_.escape) {
                escaped_in_quotes(raw_escapes, out);
            } else {
                out.add_protected(take_rune());
            }
        }
        reject("unexpected end of statement while looking for matching double-quote");
    }

    // Only '"', '$' and the escape character itself can be escaped; in front of anything else the
    // escape character is data.
    void escaped_in_quotes(bool raw_escapes, Output& out) {
        const std::string_view escape = text_.substr(at_++, 1);
        const bool special = peek() == '"' || peek() == '$' || peek() == syntax_.escape;
        if (at_end()) return;
        if (raw_escapes || !special) out.add_protected(escape);
        if (special) out.add_protected(take_rune());
    }

    std::string dollar() {
        ++at_;
        if (!take('{')) {
            const std::string_view name = take_name();
            return name.empty() ? "$" : get_plain(name);
        }
        if (++nesting_ > kMaxNesting) reject("syntax error: substitutions nested too deeply");
        std::string value = braced();
        --nesting_;
        return value;
    }

    std::string_view take_name() {
        const std::size_t start = at_;
        const auto rune = [&] { return at_end() ? U'\0' : decode_rune(text_.substr(at_)).value; };
        if (is_digit(rune())) {
            while (is_digit(rune()))
                take_rune();
        } else if (!at_end() &&
                   std::string_view("@*#?-$!").find(peek()) != std::string_view::npos) {
            ++at_;
        } else {
            while (is_letter(rune()) || is_digit(rune()) || rune() == '_')
                take_rune();
        }
        return text_.substr(start, at_ - start);
    }

    std::optional<std::string> get(std::string_view name) const {
        return name.empty() ? std::nullopt : lookup_(name);
    }

    std::string get_plain(std::string_view name) const {
        const auto value = get(name);
        if (!value && unset_ && std::find(unset_->begin(), unset_->end(), name) == unset_->end())
            unset_->emplace_back(name);
        return value.value_or("");
    }

    // Behind "${".
    std::string braced() {
        if (at_end()) reject_open_brace();
        if (peek() == '{' || peek() == '}' || peek() == ':')
            reject("syntax error: bad substitution");
        const std::string_view name = take_name();
        if (at_end()) reject_open_brace();
        if (take('}')) return get_plain(name);
        if (take('/')) return replaced(name);
        const std::size_t start = at_;
        const bool empty_is_unset = take(':');
        const std::string_view modifier = at_end() ? std::string_view() : take_rune();
        const bool known = modifier == "-" || modifier == "+" || modifier == "?" ||
                           (!empty_is_unset && (modifier == "#" || modifier == "%"));
        if (modifier.empty()) reject_open_brace();
        if (!known)
            reject("unsupported modifier (" + std::string(text_.substr(start, at_ - start)) +
                   ") in substitution");
        if (modifier == "#" || modifier == "%") return stripped(name, modifier == "#");
        return defaulted(name, modifier[0], empty_is_unset);
    }

    [[noreturn]] static void reject_open_brace() { reject("syntax error: missing '}'"); }

    // The text up to `stop`. A mistake that runs into the end is reported as the missing bracket.
    std::string part(char stop, bool raw_escapes) {
        Output out;
        try {
            copy_until(stop, raw_escapes, out);
        } catch (const Mistake&) {
            if (!at_end()) throw;
            if (stop == '}') reject_open_brace();
            reject("syntax error: missing '/' in ${}");
        }
        return out.take_text();
    }

    std::string defaulted(std::string_view name, char modifier, bool empty_is_unset) {
        std::string word = part('}', false);
        std::optional<std::string> value = get(name);
        const bool present = value && !(empty_is_unset && value->empty());
        if (modifier == '-') return present ? *std::move(value) : std::move(word);
        if (modifier == '+') return present ? std::move(word) : std::string();
        if (present) return *std::move(value);
        if (word.empty())
            word = value ? "is not allowed to be empty" : "is not allowed to be unset";
        reject(std::string(name) + ": " + word);
    }

    std::string stripped(std::string_view name, bool prefix) {
        std::string pattern = part('}', true);
        const bool longest = pattern.starts_with(prefix ? '#' : '%');
        if (longest) pattern.erase(0, 1);
        const std::string value = get(name).value_or("");
        return prefix ? strip_prefix(value, pattern, longest)
                      : strip_suffix(value, pattern, longest);
    }

    std::string replaced(std::string_view name) {
        const bool all = take('/');
        const std::string pattern = part('/', true);
        const std::string text = part('}', true);
        return replace_matches(get(name).value_or(""), pattern, text, all);
    }

    std::string_view text_;
    const Lookup& lookup_;
    Syntax syntax_;
    std::vector<std::string>* unset_;
    std::size_t at_ = 0;
    int nesting_ = 0;
};

void run(std::string_view text, const Lookup& lookup, Syntax syntax, Output& out) {
    try {
        Expander(text, lookup, syntax).expand_all(out);
    } catch (const Mistake& mistake) {
        const bool whole = text.size() <= kMaxShownBytes;
        const std::string shown(text.substr(0, kMaxShownBytes));
        fail(ErrorKind::Invalid,
             "failed to process " + quoted(whole ? shown : shown + "...") + ": " + mistake.text);
    }
}

}  // namespace

std::string expand(std::string_view word, const Lookup& lookup, char escape) {
    Output out;
    run(word, lookup, {escape, true}, out);
    return out.take_text();
}

std::vector<std::string> expand_words(std::string_view word, const Lookup& lookup, char escape) {
    Output out(true);
    run(word, lookup, {escape, true}, out);
    return out.take_words();
}

std::vector<std::string> undefined_variables(std::string_view word, const Lookup& lookup,
                                             char escape) {
    std::vector<std::string> unset;
    Output out;
    try {
        Expander(word, lookup, {escape, true}, &unset).expand_all(out);
    } catch (const Mistake&) {
        unset.clear();  // whoever expands it will say what is wrong
    }
    return unset;
}

std::string expand_heredoc(std::string_view body, const Lookup& lookup) {
    Output out;
    run(body, lookup, {'\\', false}, out);
    return out.take_text();
}

}  // namespace shale::dockerfile
