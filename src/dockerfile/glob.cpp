// Compiling and running path patterns.
//
// Places of the automaton are element numbers; place n means "element n comes next" and the place
// behind the last element means "matched". Stars can be skipped, so entering one also enters what
// follows it. Places are kept sorted without sorting, because each step only moves them forward by
// one; see States::add.
#include "glob.hpp"

#include "characters.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>
#include <array>

namespace shale::dockerfile {

// Turns pattern text into elements.
class Glob::Parser {
  public:
    Parser(std::string_view pattern, Dialect dialect, Glob& glob)
        : pattern_(pattern), rest_(pattern), dialect_(dialect), glob_(glob) {}

    void parse() {
        while (!rest_.empty())
            element();
        widen_leading_stars();
    }

  private:
    void add(Kind kind, char32_t value = 0) { glob_.elements_.push_back({kind, value}); }

    char32_t take_rune() {
        if (rest_.empty()) bad();
        const Rune rune = decode_rune(rest_);
        rest_.remove_prefix(rune.bytes);
        return rune.value;
    }
    bool take(char c) {
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }

    void element() {
        if (take('*')) return star();
        if (take('?')) return add(Kind::AnyRune);
        if (take('[')) return char_class();
        take('\\');  // the next character stands for itself; at the end there is none
        add(Kind::Literal, take_rune());
    }

    void star() {
        if (dialect_ == Dialect::Path || !take('*')) return add(Kind::Run);
        take('/');
        if (rest_.empty()) return add(Kind::LongRun);
        add(Kind::Dirs);
        add(Kind::DirsBody);
    }

    // "**name", glued to plain text, matches any path that ends in "name"; elsewhere glued stars
    // match only up to a '/'. An oddity of the reference that files in the wild may rely on.
    void widen_leading_stars() {
        auto& elements = glob_.elements_;
        if (elements.size() < 3 || elements[0].kind != Kind::Dirs) return;
        if (pattern_.starts_with("**/") || pattern_.find_first_of("*?[\\]", 2) != pattern_.npos)
            return;
        elements.erase(elements.begin());
        elements[0].kind = Kind::LongRun;
    }

    void char_class() {
        CharClass set;
        set.negated = take('^');
        do {
            const char32_t first = class_rune();
            set.ranges.emplace_back(first, take('-') ? class_rune() : first);
        } while (!take(']'));
        add(Kind::Class, static_cast<char32_t>(glob_.classes_.size()));
        glob_.classes_.push_back(std::move(set));
    }

    char32_t class_rune() {
        if (rest_.starts_with('-') || rest_.starts_with(']')) bad();
        take('\\');
        const char32_t rune = take_rune();
        if (rune >= kBadByte || rest_.empty()) bad();
        return rune;
    }

    [[noreturn]] void bad() const {
        fail(ErrorKind::Invalid, "syntax error in pattern: " + quoted(pattern_));
    }

    std::string_view pattern_;
    std::string_view rest_;
    Dialect dialect_;
    Glob& glob_;
};

// A sorted set of element numbers: the places of the automaton that are alive.
class Glob::States {
  public:
    explicit States(std::size_t elements) {
        if (elements < inline_.size()) return;
        heap_.resize(elements + 1);
        data_ = heap_.data();
    }
    States(const States&) = delete;
    States& operator=(const States&) = delete;

    // Elements arrive in ascending runs, each of which begins inside or directly behind the one
    // before; so whatever is not behind the last entry is already there.
    void add(std::size_t element) {
        if (size_ == 0 || data_[size_ - 1] < element)
            data_[size_++] = static_cast<std::uint32_t>(element);
    }
    void clear() { size_ = 0; }
    bool empty() const { return size_ == 0; }
    const std::uint32_t* begin() const { return data_; }
    const std::uint32_t* end() const { return data_ + size_; }

  private:
    std::array<std::uint32_t, 64> inline_;
    std::vector<std::uint32_t> heap_;
    std::uint32_t* data_ = inline_.data();
    std::size_t size_ = 0;
};

Glob::Glob(std::string_view pattern, Dialect dialect) {
    Parser(pattern, dialect, *this).parse();
    const auto is_literal = [](const Element& element) { return element.kind == Kind::Literal; };
    const auto first_wild = std::find_if_not(elements_.begin(), elements_.end(), is_literal);
    for (auto it = elements_.begin(); it != first_wild; ++it)
        append_rune(prefix_, it->value);
    literal_ = first_wild == elements_.end();
    auto last_wild = elements_.end();
    while (!literal_ && is_literal(*(last_wild - 1)))
        --last_wild;
    for (auto it = last_wild; it != elements_.end(); ++it)
        append_rune(suffix_, it->value);
    suffix_is_whole_name_ = literal_ || begins_name(last_wild);
    if (prefix_.empty() && suffix_.empty()) find_inner_text();
}

// Whether what stands at `element` always begins a path component: behind "**/" that stands at the
// start or behind a '/' itself. ("a**b" matches "ab", too.)
bool Glob::begins_name(std::vector<Element>::const_iterator element) const {
    const auto before = element - elements_.begin();
    if (before < 2 || (element - 1)->kind != Kind::DirsBody) return false;
    return before == 2 || ((element - 3)->kind == Kind::Literal && (element - 3)->value == '/');
}

void Glob::find_inner_text() {
    std::string run;
    for (const Element& element : elements_) {
        if (element.kind == Kind::Literal)
            append_rune(run, element.value);
        else
            run.clear();
        if (run.size() > inner_.size()) inner_ = run;
    }
}

bool Glob::accepts(const Element& element, char32_t rune) const {
    switch (element.kind) {
    case Kind::Literal:
        return rune == element.value;
    case Kind::AnyRune:
        return rune != '/';
    case Kind::Class: {
        const CharClass& set = classes_[element.value];
        const bool inside =
            std::any_of(set.ranges.begin(), set.ranges.end(), [&](const auto& range) {
                return range.first <= rune && rune <= range.second;
            });
        return inside != set.negated;
    }
    default:
        return false;
    }
}

// Adds `element` and all that can be reached from it without input.
void Glob::enter(States& states, std::size_t element) const {
    while (true) {
        states.add(element);
        if (element == elements_.size()) return;
        const Kind kind = elements_[element].kind;
        if (kind == Kind::Dirs)
            states.add(++element);
        else if (kind != Kind::Run && kind != Kind::LongRun)
            return;
        ++element;
    }
}

void Glob::advance(const States& from, States& to, char32_t rune) const {
    to.clear();
    for (const std::uint32_t at : from) {
        if (at == elements_.size()) break;
        const Element& element = elements_[at];
        if (element.kind == Kind::Run || element.kind == Kind::LongRun) {
            if (rune != '/' || element.kind == Kind::LongRun) enter(to, at);
        } else if (element.kind == Kind::DirsBody) {
            to.add(at);
            if (rune == '/') enter(to, at + 1);
        } else if (accepts(element, rune)) {
            enter(to, at + 1);
        }
    }
}

bool Glob::matches(std::string_view path) const {
    if (literal_) return path == prefix_;
    if (!path.starts_with(prefix_) || !path.ends_with(suffix_)) return false;
    if (!inner_.empty() && path.find(inner_) == path.npos) return false;
    States current(elements_.size());
    States next(elements_.size());
    enter(current, 0);
    States* now = &current;
    States* then = &next;
    while (!path.empty() && !now->empty()) {
        const Rune rune = decode_rune(path);
        path.remove_prefix(rune.bytes);
        advance(*now, *then, rune.value);
        std::swap(now, then);
    }
    return !now->empty() && *(now->end() - 1) == elements_.size();
}

// Every place but the last still needs input and can get it, so one alive place is enough.
bool Glob::may_match_below(std::string_view directory) const {
    States current(elements_.size());
    States next(elements_.size());
    enter(current, 0);
    States* now = &current;
    States* then = &next;
    const auto feed = [&](char32_t rune) {
        advance(*now, *then, rune);
        std::swap(now, then);
    };
    while (!directory.empty() && !now->empty()) {
        const Rune rune = decode_rune(directory);
        directory.remove_prefix(rune.bytes);
        feed(rune.value);
    }
    feed('/');
    return !now->empty() && *now->begin() != elements_.size();
}

bool match_glob(std::string_view pattern, std::string_view path) {
    return Glob(pattern, Glob::Dialect::Path).matches(path);
}

bool has_wildcard(std::string_view path) {
    return path.find_first_of("*?[\\") != std::string_view::npos;
}

}  // namespace shale::dockerfile
