// Fuzz target: ignore files. The text up to the last line is the file, the last line a path. To
// decide the path along the walk must be the same as to decide it alone, and nothing below a pruned
// directory may be included.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

using namespace shale::dockerfile;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t end = text.rfind('\n');
    const std::string_view path = text.substr(end + 1);
    if (end == text.npos || path.empty() || path.starts_with('/') || path.ends_with('/') ||
        path.find("//") != path.npos)
        return 0;
    IgnoreMatcher matcher;
    try {
        matcher = IgnoreMatcher::parse(text.substr(0, end));
    } catch (const shale::Error&) {
        return 0;
    }
    IgnoreMatcher::State state;
    bool pruned = false;
    for (std::size_t at = path.find('/');; at = path.find('/', at + 1)) {
        const std::string_view here = path.substr(0, at);
        IgnoreMatcher::State child;
        const auto verdict = matcher.decide(here, state, &child);
        SHALE_ENSURE(verdict.excluded == matcher.is_excluded(here));
        SHALE_ENSURE(verdict.may_prune == matcher.is_excluded_entirely(here));
        SHALE_ENSURE(!pruned || verdict.excluded);
        SHALE_ENSURE(!verdict.may_prune || verdict.excluded);
        pruned |= verdict.may_prune;
        state = child;
        if (at == path.npos) return 0;
    }
}
