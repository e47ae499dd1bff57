// Ignore files: reading patterns, and deciding paths by the last pattern that matches.
#include "characters.hpp"
#include "glob.hpp"
#include "lines.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>

namespace shale::dockerfile {

struct IgnoreMatcher::Pattern {
    Glob glob;
    bool exception;
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
    std::vector<Pattern> compiled;
    for (const std::string& written : patterns) {
        std::string_view text = trim(written);
        if (text.empty()) continue;
        const bool exception = text.starts_with('!');
        if (exception) text = trim(text.substr(1));
        const std::string cleaned = clean_pattern(text);
        const bool names_nothing = text.empty() || (exception && text[0] == '/' && cleaned.empty());
        if (names_nothing) fail(ErrorKind::Invalid, "illegal exclusion pattern: \"!\"");
        if (!cleaned.empty()) compiled.push_back({Glob(cleaned, Glob::Dialect::Ignore), exception});
    }
    IgnoreMatcher matcher;
    if (!compiled.empty())
        matcher.patterns_ = std::make_shared<const std::vector<Pattern>>(std::move(compiled));
    return matcher;
}

bool IgnoreMatcher::has_exceptions() const {
    return patterns_ && std::any_of(patterns_->begin(), patterns_->end(),
                                    [](const Pattern& pattern) { return pattern.exception; });
}

bool IgnoreMatcher::is_excluded(std::string_view path) const {
    if (!patterns_) return false;
    const auto matches_here_or_above = [&](const Pattern& pattern) {
        for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1))
            if (pattern.glob.matches(path.substr(0, end))) return true;
        return pattern.glob.matches(path);
    };
    const auto last = std::find_if(patterns_->rbegin(), patterns_->rend(), matches_here_or_above);
    return last != patterns_->rend() && !last->exception;
}

IgnoreMatcher::Verdict IgnoreMatcher::decide(std::string_view path, const State& parent,
                                             State* child) const {
    if (child) child->ancestor_matched.clear();
    if (!patterns_) return {};
    const auto& patterns = *patterns_;
    SHALE_ENSURE(parent.ancestor_matched.empty() ||
                 parent.ancestor_matched.size() == patterns.size());
    if (child) child->ancestor_matched.resize(patterns.size());

    Verdict verdict;
    std::size_t last_match = 0;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
        const Pattern& pattern = patterns[i];
        bool match = !parent.ancestor_matched.empty() && parent.ancestor_matched[i];
        // A pattern that cannot change the verdict is skipped, but not for a directory: below it
        // another pattern may change the verdict first, and then this one matters.
        if (!match && !child && pattern.exception != verdict.excluded) continue;
        if (!match) match = pattern.glob.matches(path);
        if (child) child->ancestor_matched[i] = match;
        if (!match) continue;
        verdict.excluded = !pattern.exception;
        last_match = i;
    }
    // Only an exception behind the last match can overrule it for something below.
    verdict.may_prune =
        verdict.excluded && std::none_of(patterns.begin() + static_cast<std::ptrdiff_t>(last_match),
                                         patterns.end(), [&](const Pattern& pattern) {
                                             return pattern.exception &&
                                                    pattern.glob.may_match_below(path);
                                         });
    return verdict;
}

}  // namespace shale::dockerfile
