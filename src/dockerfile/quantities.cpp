// Durations of HEALTHCHECK and sizes of tmpfs mounts.
#include "quantities.hpp"

#include "characters.hpp"
#include "mistake.hpp"

#include <shale/dockerfile.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace shale::dockerfile {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t ns;
};
constexpr Unit kUnits[] = {
    {"ns", 1},         {"us", 1'000},        {"\u00b5s", 1'000},    {"\u03bcs", 1'000},
    {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000},
};

bool is_decimal(char c) {
    return c >= '0' && c <= '9';
}

std::string_view take_digits(std::string_view& text) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_decimal);
    const std::string_view digits(text.begin(), end);
    text.remove_prefix(digits.size());
    return digits;
}

class DurationReader {
  public:
    explicit DurationReader(std::string_view text) : whole_(text), rest_(text) {}

    std::int64_t read() {
        const bool negative = rest_.starts_with('-');
        if (negative || rest_.starts_with('+')) rest_.remove_prefix(1);
        if (rest_ == "0") return 0;
        if (rest_.empty()) invalid();
        std::uint64_t total = 0;
        while (!rest_.empty())
            if (__builtin_add_overflow(total, read_part(), &total) || total > kLongest) invalid();
        const auto ns = static_cast<std::int64_t>(total);
        return negative ? -ns : ns;
    }

  private:
    static constexpr auto kLongest =
        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

    std::uint64_t read_part() {
        const std::string_view whole_digits = take_digits(rest_);
        std::string_view fraction;
        if (rest_.starts_with('.')) {
            rest_.remove_prefix(1);
            fraction = take_digits(rest_);
        }
        if (whole_digits.empty() && fraction.empty()) invalid();
        const std::uint64_t unit = read_unit();
        std::uint64_t value = 0;
        const auto [end, error] =
            std::from_chars(whole_digits.data(), whole_digits.data() + whole_digits.size(), value);
        if (error == std::errc::result_out_of_range) invalid();
        if (__builtin_mul_overflow(value, unit, &value)) invalid();
        if (__builtin_add_overflow(value, fraction_of(unit, fraction), &value)) invalid();
        return value;
    }

    // Nanoseconds of ".digits" units. More than 18 digits cannot matter.
    static std::uint64_t fraction_of(std::uint64_t unit, std::string_view digits) {
        long double part = 0;
        long double scale = 1;
        for (char digit : digits.substr(0, 18)) {
            part = part * 10 + (digit - '0');
            scale *= 10;
        }
        return static_cast<std::uint64_t>(part * static_cast<long double>(unit) / scale);
    }

    std::uint64_t read_unit() {
        const auto end = std::find_if(rest_.begin(), rest_.end(),
                                      [](char c) { return c == '.' || is_decimal(c); });
        const std::string_view name(rest_.begin(), end);
        rest_.remove_prefix(name.size());
        if (name.empty()) reject("time: missing unit in duration " + quoted(whole_));
        for (const Unit& unit : kUnits)
            if (unit.name == name) return unit.ns;
        reject("time: unknown unit " + quoted(name) + " in duration " + quoted(whole_));
    }

    [[noreturn]] void invalid() const { reject("time: invalid duration " + quoted(whole_)); }

    std::string_view whole_;
    std::string_view rest_;
};

// "", "b", "k", "kb", "kib" and so on up to "p"; nullopt for anything else.
std::optional<double> size_factor(std::string_view suffix) {
    const std::string unit = lower(suffix);
    if (unit.empty() || unit == "b") return 1;
    const auto power = std::string_view("kmgtp").find(unit[0]);
    const std::string_view tail = std::string_view(unit).substr(1);
    if (power == std::string_view::npos || (!tail.empty() && tail != "b" && tail != "ib"))
        return std::nullopt;
    return std::ldexp(1.0, 10 * (static_cast<int>(power) + 1));
}

}  // namespace

std::int64_t read_duration(std::string_view text) {
    return DurationReader(text).read();
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
    try {
        return read_duration(text);
    } catch (const Mistake&) {  // must not leave the module
        return std::nullopt;
    }
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !is_decimal(text[0])) return std::nullopt;
    std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (suffix.starts_with(' ')) suffix.remove_prefix(1);
    const auto factor = size_factor(suffix);
    const double bytes = factor ? number * *factor : -1;
    if (bytes < 0 || bytes >= 0x1p63) return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
}

}  // namespace shale::dockerfile
