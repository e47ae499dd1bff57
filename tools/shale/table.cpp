#include "table.hpp"

#include "terminal_text.hpp"

#include <algorithm>
#include <array>

namespace shale::cli {

void Table::add(std::vector<std::string> row) {
    for (auto& cell : row)
        cell = printable(cell);
    rows_.push_back(std::move(row));
}

std::string Table::str() const {
    constexpr std::size_t kGap = 3;
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_)
        for (std::size_t column = 0; column < row.size() && column < widths.size(); ++column)
            widths[column] = std::max(widths[column], display_width(row[column]));
    std::string out;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t column = 0; column < row.size() && column < widths.size(); ++column) {
            line += row[column];
            line.append(widths[column] - display_width(row[column]) + kGap, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

namespace {

struct Unit {
    std::int64_t seconds;
    const char* name;
};

}  // namespace

std::string format_age(std::int64_t now_ns, std::int64_t then_ns) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    static constexpr std::array<Unit, 6> kUnits = {{{365 * 86400, "year"},
                                                    {30 * 86400, "month"},
                                                    {7 * 86400, "week"},
                                                    {86400, "day"},
                                                    {3600, "hour"},
                                                    {60, "minute"}}};
    // Divided before subtracting: the difference of two int64 times may not fit.
    const std::int64_t seconds = now_ns / kSecond - then_ns / kSecond;
    if (seconds < 0) return "in the future";
    for (const auto& unit : kUnits) {
        const auto count = seconds / unit.seconds;
        if (count >= 1)
            return std::to_string(count) + " " + unit.name + (count == 1 ? "" : "s") + " ago";
    }
    return seconds < 2 ? "just now" : std::to_string(seconds) + " seconds ago";
}

}  // namespace shale::cli
