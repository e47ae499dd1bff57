// Ignore files: reading patterns, and deciding paths by the last pattern that matches.
//
// "A pattern that cannot change the verdict is skipped, a match flips it" is the same as "the last
// match decides", on the path itself and all its parents together. So all that a directory has to
// hand down is the number of the last pattern that matched it or one of its parents.
#include "characters.hpp"
#include "glob.hpp"
#include "lines.hpp"
#include "pattern_index.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>

namespace shale::dockerfile {

struct IgnoreMatcher::Pattern {
    Glob glob;
    bool exception;
    std::string text;
};

struct IgnoreMatcher::Patterns {
    std::vector<Pattern> list;
    PatternIndex index;

    bool is_exclusion(std::size_t number) const { return number && !list[number - 1].exception; }

    // The last pattern behind number `above` that matches this very path, else `above`: an earlier
    // one cannot change the verdict, because the last match wins.
    std::size_t last_match(std::string_view path, std::size_t above) const {
        return index.last(path, above,
                          [&](std::size_t number) { return list[number - 1].glob.matches(path); });
    }

    bool comes_back_below(std::string_view directory, std::size_t behind) const {
        return std::any_of(list.begin() + static_cast<std::ptrdiff_t>(behind), list.end(),
                           [&](const Pattern& pattern) {
                               return pattern.exception && pattern.glob.may_match_below(directory);
                           });
    }

    // Of the path and all its parents.
    std::size_t last_match_on_the_way(std::string_view path) const {
        std::size_t last = 0;
        for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1))
            last = last_match(path.substr(0, end), last);
        return last_match(path, last);
    }
};

namespace {

// Lexical cleaning as Go's path.Clean does it, and without a leading '/': patterns are anchored
// anyway. "" for a path that names the root itself. ".." at the front stays and never matches.
std::string clean_pattern(std::string_view path) {
    const bool rooted = path.starts_with('/');
    std::vector<std::string_view> kept;
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/'), path.size());
        const std::string_view name = path.substr(0, end);
        path.remove_prefix(std::min(end + 1, path.size()));
        if (name.empty() || name == ".") continue;
        if (name != "..")
            kept.push_back(name);
        else if (!kept.empty() && kept.back() != "..")
            kept.pop_back();
        else if (!rooted)
            kept.push_back(name);
    }
    std::string cleaned;
    for (const std::string_view name : kept)
        cleaned = cleaned.empty() ? std::string(name) : join_path(cleaned, name);
    return cleaned;
}

}  // namespace

IgnoreMatcher IgnoreMatcher::parse(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::vector<std::string> patterns;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.size() > kMaxLineBytes)
            fail(ErrorKind::Invalid, "pattern longer than " + std::to_string(kMaxLineBytes) +
                                         " bytes: " + quoted(line.substr(0, 40)) + "...");
        // A comment begins in the first column; behind a blank, '#' is part of a name.
        if (!line.starts_with('#')) patterns.emplace_back(line);
    }
    return from_patterns(patterns);
}

IgnoreMatcher IgnoreMatcher::from_patterns(const std::vector<std::string>& patterns) {
    auto compiled = std::make_shared<Patterns>();
    for (const std::string& written : patterns) {
        std::string_view text = trim(written);
        if (text.empty()) continue;
        const bool exception = text.starts_with('!');
        if (exception) text = trim(text.substr(1));
        const std::string cleaned = clean_pattern(text);
        const bool names_nothing = text.empty() || (exception && text[0] == '/' && cleaned.empty());
        if (names_nothing) fail(ErrorKind::Invalid, "illegal exclusion pattern: \"!\"");
        if (cleaned.empty()) continue;
        compiled->list.push_back({Glob(cleaned, Glob::Dialect::Ignore), exception, cleaned});
        compiled->index.add(compiled->list.size(), compiled->list.back().glob);
    }
    IgnoreMatcher matcher;
    if (!compiled->list.empty()) matcher.patterns_ = std::move(compiled);
    return matcher;
}

std::string IgnoreMatcher::patterns() const {
    std::string lines;
    if (patterns_)
        for (const auto& pattern : patterns_->list)
            lines += (pattern.exception ? "!" : "") + std::string(pattern.text) + "\n";
    return lines;
}

bool IgnoreMatcher::has_exceptions() const {
    return patterns_ && std::any_of(patterns_->list.begin(), patterns_->list.end(),
                                    [](const Pattern& pattern) { return pattern.exception; });
}

bool IgnoreMatcher::is_excluded(std::string_view path) const {
    return patterns_ && patterns_->is_exclusion(patterns_->last_match_on_the_way(path));
}

bool IgnoreMatcher::is_excluded_entirely(std::string_view path) const {
    if (!patterns_) return false;
    const std::size_t last = patterns_->last_match_on_the_way(path);
    return patterns_->is_exclusion(last) && !patterns_->comes_back_below(path, last);
}

IgnoreMatcher::Verdict IgnoreMatcher::decide(std::string_view path, const State& parent,
                                             State* child) const {
    if (!patterns_) return {};
    SHALE_ENSURE(parent.last_match <= patterns_->list.size());
    const std::size_t last = patterns_->last_match(path, parent.last_match);
    if (child) child->last_match = last;
    Verdict verdict;
    verdict.excluded = patterns_->is_exclusion(last);
    // Only an exception behind the last match can overrule it for something below.
    verdict.may_prune = verdict.excluded && !patterns_->comes_back_below(path, last);
    return verdict;
}

}  // namespace shale::dockerfile
