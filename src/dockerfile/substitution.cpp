// Wildcard matching inside values.
//
// A pattern is a list of chunks with a star between each two. Matching needs no backtracking: if
// there is any match, then there is one where every chunk but the last sits at its earliest place;
// the last one's earliest place ends the shortest match, its latest place the longest. So a match
// costs value times chunk at worst, whatever the pattern.
#include "substitution.hpp"

#include "characters.hpp"
#include "mistake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace shale::dockerfile {
namespace {

constexpr char32_t kAnyRune = 0xFFFFFFFF;  // '?'

struct Span {
    std::size_t first, end;
};

class Wildcard {
  public:
    explicit Wildcard(std::string_view pattern) {
        const std::u32string runes = to_runes(pattern);
        for (std::size_t i = 0; i < runes.size(); ++i) {
            const char32_t rune = runes[i];
            if (rune == '*')
                chunks_.emplace_back();
            else if (rune == '?')
                chunks_.back().push_back(kAnyRune);
            else if (rune == '\\')
                chunks_.back().push_back(escaped(pattern, runes, ++i));
            else
                chunks_.back().push_back(rune);
        }
    }

    void reverse() {
        std::reverse(chunks_.begin(), chunks_.end());
        for (std::u32string& chunk : chunks_)
            std::reverse(chunk.begin(), chunk.end());
    }

    // The end of the shortest or longest match that begins at `start`.
    std::optional<std::size_t> match_at(std::u32string_view value, std::size_t start,
                                        bool longest) const {
        if (!chunk_at(value, start, chunks_[0])) return std::nullopt;
        std::size_t end = start + chunks_[0].size();
        for (std::size_t i = 1; i < chunks_.size(); ++i) {
            const bool last = i + 1 == chunks_.size();
            const auto found = last && longest ? find_last(value, end, chunks_[i])
                                               : find_first(value, end, chunks_[i]);
            if (!found) return std::nullopt;
            end = *found + chunks_[i].size();
        }
        return end;
    }

    // The leftmost match at or behind `from`, as long as possible. Only the earliest place of the
    // first chunk need be tried: from a later one no more of the value is left.
    std::optional<Span> find(std::u32string_view value, std::size_t from) const {
        const auto start = find_first(value, from, chunks_[0]);
        if (!start) return std::nullopt;
        const auto end = match_at(value, *start, true);
        if (!end) return std::nullopt;
        return Span{*start, *end};
    }

  private:
    static char32_t escaped(std::string_view pattern, std::u32string_view runes, std::size_t at) {
        constexpr std::u32string_view kEscapable = U"*?\\/}";
        if (at < runes.size() && kEscapable.find(runes[at]) != std::u32string_view::npos)
            return runes[at];
        const std::string which = at < runes.size() ? to_utf8(runes.substr(at, 1)) : std::string();
        reject("invalid pattern (" + std::string(pattern) +
               ") in substitution: invalid escape '\\" + which + "'");
    }

    static bool chunk_at(std::u32string_view value, std::size_t at, std::u32string_view chunk) {
        if (value.size() - at < chunk.size()) return false;
        return std::equal(
            chunk.begin(), chunk.end(), value.begin() + static_cast<std::ptrdiff_t>(at),
            [](char32_t want, char32_t have) { return want == kAnyRune || want == have; });
    }

    static std::optional<std::size_t> find_first(std::u32string_view value, std::size_t from,
                                                 std::u32string_view chunk) {
        for (std::size_t at = from; at + chunk.size() <= value.size(); ++at)
            if (chunk_at(value, at, chunk)) return at;
        return std::nullopt;
    }

    static std::optional<std::size_t> find_last(std::u32string_view value, std::size_t from,
                                                std::u32string_view chunk) {
        if (value.size() < from + chunk.size()) return std::nullopt;
        for (std::size_t at = value.size() - chunk.size() + 1; at-- > from;)
            if (chunk_at(value, at, chunk)) return at;
        return std::nullopt;
    }

    std::vector<std::u32string> chunks_{1};
};

}  // namespace

std::string strip_prefix(std::string_view value, std::string_view pattern, bool longest) {
    const std::u32string runes = to_runes(value);
    const auto end = Wildcard(pattern).match_at(runes, 0, longest);
    return end ? to_utf8(std::u32string_view(runes).substr(*end)) : std::string(value);
}

// A suffix is a prefix read backwards.
std::string strip_suffix(std::string_view value, std::string_view pattern, bool longest) {
    std::u32string runes = to_runes(value);
    std::reverse(runes.begin(), runes.end());
    Wildcard wildcard(pattern);
    wildcard.reverse();
    const auto end = wildcard.match_at(runes, 0, longest);
    if (!end) return std::string(value);
    return to_utf8(to_runes(value).substr(0, runes.size() - *end));
}

void reject_expansion() {
    reject(fmt::format("expands to more than {} bytes", kMaxExpandedBytes));
}

// An empty match counts everywhere except directly behind another match, so that `*` replaces the
// whole value once.
std::string replace_matches(std::string_view value, std::string_view pattern, std::string_view text,
                            bool all) {
    const Wildcard wildcard(pattern);
    const std::u32string runes = to_runes(value);
    const std::u32string_view view = runes;
    std::string out;
    std::size_t copied = 0;
    for (std::size_t at = 0; at <= view.size();) {
        const auto match = wildcard.find(view, at);
        if (!match) break;
        out.append(to_utf8(view.substr(copied, match->first - copied)));
        if (match->end > copied || match->first == 0) out.append(text);
        if (out.size() > kMaxExpandedBytes) reject_expansion();
        copied = match->end;
        if (!all) break;
        at = std::max(at + 1, match->end);
    }
    return out.append(to_utf8(view.substr(copied)));
}

}  // namespace shale::dockerfile
