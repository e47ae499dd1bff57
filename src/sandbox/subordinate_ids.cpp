// Text of other programs: what does not fit is skipped, what fits is bounded.
#include "subordinate_ids.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace shale::sandbox {

namespace {

// The kernel takes 340 lines. Who has a third as many ranges has more IDs than images use.
constexpr std::size_t kMostRanges = 100;
// The last ID means "no ID" to the kernel.
constexpr std::uint64_t kEndOfIds = 0xffffffff;

std::string_view take_until(std::string_view& text, char separator) {
    const auto end = text.find(separator);
    const auto part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return part;
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

void add_range(std::string_view first, std::string_view count, std::vector<IdRange>& ranges) {
    const auto from = number(first), length = number(count);
    if (!from || !length || *length == 0 || ranges.size() == kMostRanges) return;
    if (*from >= kEndOfIds || *length > kEndOfIds - *from) return;
    ranges.push_back({static_cast<std::uint32_t>(*from), static_cast<std::uint32_t>(*length)});
}

bool overlap(const IdRange& a, const IdRange& b) {
    return a.first < std::uint64_t{b.first} + b.count && b.first < std::uint64_t{a.first} + a.count;
}

}  // namespace

std::vector<IdRange> parse_subordinate_ids(std::string_view text, std::string_view name,
                                           std::uint32_t uid) {
    std::vector<IdRange> ranges;
    const std::string as_number = std::to_string(uid);
    while (!text.empty()) {
        std::string_view line = take_until(text, '\n');
        const auto owner = take_until(line, ':');
        const auto first = take_until(line, ':');
        if (!owner.empty() && (owner == name || owner == as_number)) add_range(first, line, ranges);
    }
    return ranges;
}

std::vector<IdRange> parse_getsubids(std::string_view text) {
    std::vector<IdRange> ranges;
    while (!text.empty()) {
        std::string_view line = take_until(text, '\n');
        const auto index = take_until(line, ' ');
        take_until(line, ' ');  // the owner
        const auto first = take_until(line, ' ');
        if (index.ends_with(':')) add_range(first, line, ranges);
    }
    return ranges;
}

std::vector<std::string> id_map_arguments(std::uint32_t own, const std::vector<IdRange>& ranges) {
    std::vector<IdRange> taken{{own, 1}};
    std::vector<std::string> arguments{"0", std::to_string(own), "1"};
    std::uint64_t inside = 1;
    for (const IdRange& range : ranges) {
        const auto meets = [&](const IdRange& other) { return overlap(range, other); };
        if (std::ranges::any_of(taken, meets) || range.count > kEndOfIds - inside) continue;
        taken.push_back(range);
        for (const std::uint64_t value :
             {inside, std::uint64_t{range.first}, std::uint64_t{range.count}})
            arguments.push_back(std::to_string(value));
        inside += range.count;
    }
    return arguments;
}

}  // namespace shale::sandbox
