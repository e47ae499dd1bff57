// The kernel's tables of user namespaces, user_namespaces(7).
#include <shale/base.hpp>
#include <shale/caller.hpp>

#include <unistd.h>

#include <charconv>
#include <string>

namespace shale {

namespace {

// The kernel takes 340 lines of up to 33 bytes.
constexpr std::uint64_t kMaxMapBytes = 64 << 10;
constexpr std::uint64_t kAllIds = 0xffffffff;

std::string read_map(const char* path) {
    try {
        return read_file(path, kMaxMapBytes);
    } catch (const Error&) {  // no /proc, or a kernel without user namespaces
        return {};
    }
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

struct Range {
    std::uint64_t inside = 0, outside = 0, count = 0;
};

std::optional<Range> next_range(std::string_view& map) {
    const auto end = map.find('\n');
    std::string_view line = map.substr(0, end);
    map.remove_prefix(end == std::string_view::npos ? map.size() : end + 1);
    const auto inside = take_number(line), outside = take_number(line), count = take_number(line);
    if (!inside || !outside || !count) return std::nullopt;
    return Range{*inside, *outside, *count};
}

}  // namespace

std::optional<std::uint32_t> outer_id(std::string_view map, std::uint32_t id) {
    while (!map.empty())
        if (const auto range = next_range(map);
            range && id >= range->inside && id - range->inside < range->count)
            return static_cast<std::uint32_t>(range->outside + (id - range->inside));
    return std::nullopt;
}

bool in_user_namespace() {
    const std::string map = read_map("/proc/self/uid_map");
    if (map.empty()) return false;
    std::string_view rest = map;
    const auto all = next_range(rest);
    return !all || all->inside != 0 || all->outside != 0 || all->count != kAllIds;
}

std::uint32_t outer_uid() {
    const std::uint32_t here = ::geteuid();
    const std::string map = read_map("/proc/self/uid_map");
    return map.empty() ? here : outer_id(map, here).value_or(here);
}

bool has_group(std::uint32_t gid) {
    const std::string map = read_map("/proc/self/gid_map");
    return map.empty() || outer_id(map, gid).has_value();
}

}  // namespace shale
