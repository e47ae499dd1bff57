// A strict recursive reader for JSON. It keeps the strings of the outermost array and only checks
// the rest for well-formedness, because the difference between "not JSON at all" (shell form) and
// "JSON, but with a number in it" (an error) is what users see.
#include "json_array.hpp"

#include "characters.hpp"

#include <fmt/format.h>

#include <optional>

namespace shale::dockerfile {
namespace {

// Nesting only ever leads to an error, so the bound may be small; it protects the stack.
constexpr int kMaxDepth = 200;
constexpr char32_t kReplacement = 0xFFFD;

class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    JsonArray read() {
        JsonArray result;
        bool only_strings = true;
        skip_blanks();
        if (!take('[')) return result;
        const bool well_formed = elements(']', [&] {
            if (peek() != '"') {
                only_strings = false;
                return value(1);
            }
            result.values.emplace_back();
            return string(result.values.back());
        });
        skip_blanks();
        if (!well_formed || at_ != text_.size()) return {};
        result.outcome =
            only_strings ? JsonArray::Outcome::Strings : JsonArray::Outcome::NotStrings;
        return result;
    }

    std::optional<std::string> read_member(std::string_view key) {
        std::optional<std::string> found;
        skip_blanks();
        if (!take('{')) return std::nullopt;
        const bool well_formed = elements('}', [&] {
            std::string name;
            if (!member_name(name)) return false;
            if (name != key) return value(1);
            if (peek() != '"') {
                found.reset();
                return value(1);
            }
            return string(found.emplace());
        });
        skip_blanks();
        return well_formed && at_ == text_.size() ? found : std::nullopt;
    }

  private:
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void skip_blanks() {
        while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')
            ++at_;
    }

    // The inside of an array or object after its opening bracket.
    template <typename Element>
    bool elements(char close, Element element) {
        skip_blanks();
        if (take(close)) return true;
        while (true) {
            skip_blanks();
            if (!element()) return false;
            skip_blanks();
            if (take(close)) return true;
            if (!take(',')) return false;
        }
    }

    bool value(int depth) {
        if (depth > kMaxDepth) return false;
        std::string ignored;
        if (peek() == '"') return string(ignored);
        if (take('[')) return elements(']', [&] { return value(depth + 1); });
        if (take('{')) return elements('}', [&] { return member(depth + 1); });
        if (peek() == '-' || is_digit_here()) return number();
        return word("true") || word("false") || word("null");
    }

    bool member(int depth) {
        std::string ignored;
        return member_name(ignored) && value(depth);
    }
    // "name" and colon, up to where the value begins.
    bool member_name(std::string& name) {
        if (!string(name)) return false;
        skip_blanks();
        if (!take(':')) return false;
        skip_blanks();
        return true;
    }

    bool word(std::string_view expected) {
        if (!text_.substr(at_).starts_with(expected)) return false;
        at_ += expected.size();
        return true;
    }

    bool is_digit_here() const { return peek() >= '0' && peek() <= '9'; }
    bool digits() {
        if (!is_digit_here()) return false;
        while (is_digit_here())
            ++at_;
        return true;
    }
    bool number() {
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            return digits();
        }
        return true;
    }

    bool string(std::string& out) {
        if (!take('"')) return false;
        while (at_ < text_.size()) {
            const char c = text_[at_++];
            if (c == '"') return true;
            if (static_cast<unsigned char>(c) < 0x20) return false;
            if (c != '\\') {
                out.push_back(c);
            } else if (!escape(out)) {
                return false;
            }
        }
        return false;
    }

    bool escape(std::string& out) {
        constexpr std::string_view kNamed = "\"\"\\\\//b\bf\fn\nr\rt\t";  // pairs: name, meaning
        if (take('u')) return unicode_escape(out);
        for (std::size_t i = 0; i < kNamed.size(); i += 2) {
            if (!take(kNamed[i])) continue;
            out.push_back(kNamed[i + 1]);
            return true;
        }
        return false;
    }

    bool unicode_escape(std::string& out) {
        const auto unit = hex4();
        if (!unit) return false;
        char32_t rune = *unit;
        if (rune >= 0xD800 && rune <= 0xDFFF) rune = pair_with_low(rune);
        append_rune(out, rune);
        return true;
    }

    // `high` was just read; joins it with a low surrogate if one follows directly.
    char32_t pair_with_low(char32_t high) {
        const std::size_t start = at_;
        if (high < 0xDC00 && take('\\') && take('u')) {
            const auto low = hex4();
            if (low && *low >= 0xDC00 && *low <= 0xDFFF)
                return 0x10000 + ((high - 0xD800) << 10) + (*low - 0xDC00);
        }
        at_ = start;
        return kReplacement;
    }

    std::optional<char32_t> hex4() {
        if (text_.size() - at_ < 4) return std::nullopt;
        char32_t value = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = text_[at_ + static_cast<std::size_t>(i)];
            const char low = static_cast<char>(c | 0x20);
            if (c >= '0' && c <= '9')
                value = value << 4 | static_cast<char32_t>(c - '0');
            else if (low >= 'a' && low <= 'f')
                value = value << 4 | static_cast<char32_t>(low - 'a' + 10);
            else
                return std::nullopt;
        }
        at_ += 4;
        return value;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

JsonArray read_json_array(std::string_view text) {
    return Reader(trim_left(text)).read();
}

std::string write_json_array(const std::vector<std::string>& values) {
    std::string out = "[";
    for (const std::string& value : values) {
        out += out.size() > 1 ? ", \"" : "\"";
        for (const char c : value) {
            constexpr std::string_view kNamed = "\"\"\\\\b\bf\fn\nr\rt\t";  // pairs: name, meaning
            std::size_t named = 1;
            while (named < kNamed.size() && kNamed[named] != c)
                named += 2;
            if (named < kNamed.size())
                out.append("\\").push_back(kNamed[named - 1]);
            else if (static_cast<unsigned char>(c) < 0x20)
                out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
            else
                out += c;
        }
        out += '"';
    }
    return out + "]";
}

std::optional<std::string> read_json_member(std::string_view text, std::string_view key) {
    return Reader(text).read_member(key);
}

}  // namespace shale::dockerfile
