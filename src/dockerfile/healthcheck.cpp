// HEALTHCHECK: the test command, its intervals, and the texts users know from the Go libraries.
#include "healthcheck.hpp"

#include "characters.hpp"
#include "flags.hpp"
#include "mistake.hpp"
#include "quantities.hpp"

#include <charconv>
#include <limits>
#include <utility>

namespace shale::dockerfile {
namespace {

std::int64_t read_interval(std::string_view flag, const std::string& text) {
    constexpr std::int64_t kShortest = 1'000'000;
    if (text.empty()) return 0;
    const std::int64_t ns = read_duration(text);
    if (ns != 0 && ns < kShortest) reject("Interval " + quoted(flag) + " cannot be less than 1ms");
    return ns;
}

int read_retries(const std::string& text) {
    if (text.empty()) return 0;
    std::int64_t retries = 0;
    const std::size_t sign = text[0] == '+' ? 1 : 0;
    const auto [end, error] =
        std::from_chars(text.data() + sign, text.data() + text.size(), retries);
    const bool too_big = error == std::errc::result_out_of_range ||
                         retries > std::numeric_limits<std::int32_t>::max() ||
                         retries < std::numeric_limits<std::int32_t>::min();
    if (error == std::errc::invalid_argument || end != text.data() + text.size())
        reject("strconv.ParseInt: parsing " + quoted(text) + ": invalid syntax");
    if (too_big) reject("strconv.ParseInt: parsing " + quoted(text) + ": value out of range");
    if (retries < 0) reject("--retries cannot be negative (" + std::to_string(retries) + ")");
    return static_cast<int>(retries);
}

// The test as the image config wants it.
std::vector<std::string> build_test(const Statement& statement, const std::string& type) {
    if (type != "CMD")
        reject_operand(0, "Unknown type " + quoted(type) + " in HEALTHCHECK (try CMD)");
    if (statement.args.size() < 2) reject("Missing command after HEALTHCHECK CMD");
    std::vector<std::string> test = statement.args;
    test[0] = statement.json ? "CMD" : "CMD-SHELL";
    return test;
}

}  // namespace

Healthcheck build_healthcheck(const Statement& statement) {
    Healthcheck check;
    const std::string type = upper(statement.args[0]);
    if (type == "NONE") {
        if (statement.args.size() != 1) reject("HEALTHCHECK NONE takes no arguments");
        check.test = {"NONE"};
        return check;
    }
    std::string interval, timeout, start_period, start_interval, retries;
    FlagSet()
        .text("interval", interval)
        .text("timeout", timeout)
        .text("start-period", start_period)
        .text("start-interval", start_interval)
        .text("retries", retries)
        .parse(statement.flags);
    check.test = build_test(statement, type);
    const auto blame = [&](std::string_view flag, auto body) {
        for (std::size_t i = 0; i < statement.flags.size(); ++i)
            if (statement.flags[i].text.starts_with("--" + std::string(flag) + "="))
                return blame_flag(i, body);
        body();  // not given
    };
    const auto read = [&](std::string_view flag, const std::string& text, std::int64_t& out) {
        blame(flag, [&] { out = read_interval(flag, text); });
    };
    read("interval", interval, check.interval_ns);
    read("timeout", timeout, check.timeout_ns);
    read("start-period", start_period, check.start_period_ns);
    read("start-interval", start_interval, check.start_interval_ns);
    blame("retries", [&] { check.retries = read_retries(retries); });
    return check;
}

}  // namespace shale::dockerfile
