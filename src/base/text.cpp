// Byte reader, times, sizes, the log and spelling hints: the parts of base that only touch text.
// All of them take text from strangers, so each has a bound of its own.
#include <shale/base.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <vector>

namespace shale {

Bytes ByteReader::take(std::uint64_t count) {
    if (count > remaining()) corrupt(fmt::format("{} bytes wanted, {} left", count, remaining()));
    const Bytes piece = bytes_.subspan(at_, count);
    at_ += count;
    return piece;
}

void ByteReader::corrupt(const std::string& why) const {
    fail(ErrorKind::Corrupt, fmt::format("{}: {} at offset {}", what_, why, at_));
}

namespace {

class SystemClock final : public Clock {
  public:
    std::int64_t now_ns() const override {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(
                   std::chrono::system_clock::now().time_since_epoch())
            .count();
    }
};

std::atomic<LogLevel> g_log_level{LogLevel::Info};

}  // namespace

const Clock& system_clock() {
    static const SystemClock clock;
    return clock;
}

// By hand, because a layer's table of contents has one for every file. 64 bits of nanoseconds end
// in the year 2262.
std::string format_rfc3339(std::int64_t ns_since_epoch) {
    using namespace std::chrono;
    const auto second = floor<seconds>(nanoseconds(ns_since_epoch));
    const auto day = floor<days>(second);
    const year_month_day date{sys_days(day)};
    const hh_mm_ss clock{second - day};
    // Not by multiplying back: the first second that fits begins before all nanoseconds that do.
    const auto ns = to_timespec(ns_since_epoch).tv_nsec;
    char text[] = "0000-00-00T00:00:00.000000000Z";
    const auto put = [&](std::size_t at, std::size_t digits, auto value) {
        for (std::size_t i = at + digits; i-- > at; value /= 10)
            text[i] = static_cast<char>('0' + value % 10);
    };
    put(0, 4, static_cast<int>(date.year()));
    put(5, 2, static_cast<unsigned>(date.month()));
    put(8, 2, static_cast<unsigned>(date.day()));
    put(11, 2, clock.hours().count());
    put(14, 2, clock.minutes().count());
    put(17, 2, clock.seconds().count());
    if (ns == 0) return std::string(text, 19) + "Z";
    put(20, 9, ns);
    return text;
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
    const std::string owned(text);
    std::tm parts{};
    int used = 0;
    if (std::sscanf(owned.c_str(), "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &parts.tm_year,
                    &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec,
                    &used) != 6 ||
        used != 19)
        return std::nullopt;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    std::size_t at = 19;
    std::int64_t ns = 0;
    if (at < owned.size() && owned[at] == '.') {
        std::int64_t scale = kNsPerSecond;
        for (++at; at < owned.size() && std::isdigit(static_cast<unsigned char>(owned[at])); ++at)
            if (scale > 1) ns += (owned[at] - '0') * (scale /= 10);
    }
    std::int64_t zone_seconds = 0;
    const auto zone = std::string_view(owned).substr(at);
    if (zone != "Z" && zone != "z") {
        int hours = 0, minutes = 0;
        char sign = 0;
        if (zone.size() != 6 ||
            std::sscanf(owned.c_str() + at, "%c%2d:%2d", &sign, &hours, &minutes) != 3 ||
            (sign != '+' && sign != '-'))
            return std::nullopt;
        zone_seconds = (hours * 60 + minutes) * 60 * (sign == '+' ? 1 : -1);
    }
    const std::int64_t seconds = static_cast<std::int64_t>(::timegm(&parts)) - zone_seconds;
    if (seconds > INT64_MAX / kNsPerSecond - 1 || seconds < INT64_MIN / kNsPerSecond + 1)
        return std::nullopt;
    return seconds * kNsPerSecond + ns;
}

void set_log_level(LogLevel level) {
    g_log_level = level;
}

void log(LogLevel level, const std::string& text) {
    if (level > g_log_level.load()) return;
    const char* label = "";
    if (level == LogLevel::Error) label = "error: ";
    if (level == LogLevel::Warn) label = "warning: ";
    if (level == LogLevel::Debug) label = "debug: ";
    auto line = fmt::format("shale: {}{}", label, text);
    // Registries and images choose parts of these texts; none of them may drive the terminal.
    for (char& c : line)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    line += '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string format_size(std::uint64_t bytes) {
    static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
        value /= 1000;
        ++unit;
    }
    if (unit == 0) return fmt::format("{} B", bytes);
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                              std::tolower(static_cast<unsigned char>(b[j - 1]));
            const std::size_t substitute = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
        }
    }
    return row.back();
}

}  // namespace

std::string nearest_match(std::string_view word, std::span<const std::string> candidates) {
    constexpr std::size_t kMaxDistance = 2;
    constexpr std::size_t kLongestWord = 256;  // bounds the quadratic work on hostile input
    std::string best;
    std::size_t best_distance = kMaxDistance + 1;
    if (word.size() > kLongestWord) return best;
    for (const auto& candidate : candidates) {
        if (candidate.size() > kLongestWord) continue;
        const auto distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < word.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace shale
