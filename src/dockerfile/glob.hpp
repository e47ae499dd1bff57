// Path patterns, compiled once and matched often.
//
// A pattern becomes a list of elements, one per character or wildcard, and matching runs the list
// as a nondeterministic automaton: no backtracking, so no input makes it explode, and no allocation
// for patterns of ordinary length. Literal text at the ends is compared first and settles most
// paths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::dockerfile {

class Glob {
  public:
    enum class Dialect {
        Path,    // Go's filepath.Match: "**" is just '*'
        Ignore,  // "**" crosses directories
    };

    // Throws Invalid: `syntax error in pattern: "..."`.
    Glob(std::string_view pattern, Dialect dialect);

    bool matches(std::string_view path) const;
    // Whether some path below `directory` could match.
    bool may_match_below(std::string_view directory) const;

    // Literal text that every match begins and ends with; both are all of it if `is_literal`.
    const std::string& prefix() const { return prefix_; }
    const std::string& suffix() const { return literal_ ? prefix_ : suffix_; }
    bool is_literal() const { return literal_; }
    // In every match the suffix begins a path component.
    bool suffix_is_whole_name() const { return suffix_is_whole_name_; }

  private:
    enum class Kind : std::uint8_t {
        Literal,   // exactly `value`
        AnyRune,   // '?': one character but '/'
        Class,     // one character of classes_[value]
        Run,       // '*': any run without '/'
        LongRun,   // "**" at the end: any run
        Dirs,      // "**/" before something: nothing, or any run that ends in '/' ...
        DirsBody,  // ... and this is inside that run
    };
    struct Element {
        Kind kind;
        char32_t value = 0;
    };
    struct CharClass {
        bool negated = false;
        std::vector<std::pair<char32_t, char32_t>> ranges;
    };
    class Parser;
    class States;

    bool accepts(const Element& element, char32_t rune) const;
    void enter(States& states, std::size_t element) const;
    void advance(const States& from, States& to, char32_t rune) const;

    void find_inner_text();
    bool begins_name(std::vector<Element>::const_iterator element) const;

    std::vector<Element> elements_;
    std::vector<CharClass> classes_;
    bool literal_ = false;         // the pattern is `prefix_` and nothing else
    std::string prefix_, suffix_;  // literal text every match begins and ends with
    bool suffix_is_whole_name_ = false;
    std::string inner_;  // if there is neither: the longest literal text inside
};

}  // namespace shale::dockerfile
