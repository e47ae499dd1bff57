// Unified text diff of two files.
//
// Myers' greedy algorithm over lines: the furthest point reached by d edits on each diagonal, one
// array per d kept for the way back. What both files begin and end with is cut off first. Two files
// that have next to nothing in common would cost time and memory without helping anybody; past
// kMaxEdits the middle is shown as replaced.
#include <shale/report.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace shale::report {

namespace {

constexpr std::int64_t kMaxEdits = 2000;
constexpr std::size_t kContext = 3;

using Lines = std::vector<std::string_view>;  // newline included; the last may have none

Lines split(std::string_view text) {
    Lines lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        const auto bytes = end == std::string_view::npos ? text.size() : end + 1;
        lines.push_back(text.substr(0, bytes));
        text.remove_prefix(bytes);
    }
    return lines;
}

// Lines [from_a, to_a) became lines [from_b, to_b).
struct Edit {
    std::size_t from_a, to_a, from_b, to_b;
};

class Myers {
  public:
    Myers(const Lines& a, const Lines& b) : a_(a), b_(b) {}

    std::vector<Edit> run() {
        const std::size_t shorter = std::min(a_.size(), b_.size());
        while (head_ < shorter && a_[head_] == b_[head_])
            ++head_;
        while (tail_ < shorter - head_ && a_[a_.size() - 1 - tail_] == b_[b_.size() - 1 - tail_])
            ++tail_;
        rows_ = static_cast<std::int64_t>(a_.size() - head_ - tail_);
        columns_ = static_cast<std::int64_t>(b_.size() - head_ - tail_);
        if (rows_ == 0 && columns_ == 0) return {};
        if (!search()) return {edit(0, rows_, 0, columns_)};
        return walk_back();
    }

  private:
    Edit edit(std::int64_t from_a, std::int64_t to_a, std::int64_t from_b,
              std::int64_t to_b) const {
        const auto at = [this](std::int64_t line) {
            return head_ + static_cast<std::size_t>(line);
        };
        return {at(from_a), at(to_a), at(from_b), at(to_b)};
    }
    bool same(std::int64_t row, std::int64_t column) const {
        return a_[head_ + static_cast<std::size_t>(row)] ==
               b_[head_ + static_cast<std::size_t>(column)];
    }
    // Diagonal k of the array for d edits lies at index k + d.
    static std::size_t slot(std::int64_t diagonal, std::int64_t edits) {
        return static_cast<std::size_t>(diagonal + edits);
    }
    // Whether the best way onto diagonal k with d edits is an insertion (from k + 1).
    bool came_down(std::int64_t k, std::int64_t d) const {
        const auto& previous = furthest_[static_cast<std::size_t>(d - 1)];
        return k == -d || (k != d && previous[slot(k - 1, d - 1)] < previous[slot(k + 1, d - 1)]);
    }
    std::int64_t start(std::int64_t k, std::int64_t d) const {
        if (d == 0) return 0;
        const auto& previous = furthest_[static_cast<std::size_t>(d - 1)];
        return came_down(k, d) ? previous[slot(k + 1, d - 1)] : previous[slot(k - 1, d - 1)] + 1;
    }

    bool search() {
        for (std::int64_t d = 0; d <= std::min(rows_ + columns_, kMaxEdits); ++d) {
            std::vector<std::int32_t> reached(static_cast<std::size_t>(2 * d + 1));
            for (std::int64_t k = -d; k <= d; k += 2) {
                std::int64_t row = start(k, d);
                while (row < rows_ && row - k < columns_ && row - k >= 0 && same(row, row - k))
                    ++row;
                reached[slot(k, d)] = static_cast<std::int32_t>(row);
                if (row >= rows_ && row - k >= columns_) {
                    furthest_.push_back(std::move(reached));
                    return true;
                }
            }
            furthest_.push_back(std::move(reached));
        }
        return false;
    }

    std::vector<Edit> walk_back() const {
        std::vector<Edit> edits;
        std::int64_t k = rows_ - columns_;
        for (auto d = static_cast<std::int64_t>(furthest_.size()) - 1; d > 0; --d) {
            const bool down = came_down(k, d);
            const std::int64_t row = start(k, d), column = row - k;
            const Edit one =
                down ? edit(row, row, column - 1, column) : edit(row - 1, row, column, column);
            if (!edits.empty() && edits.back().from_a == one.to_a &&
                edits.back().from_b == one.to_b)
                edits.back().from_a = one.from_a, edits.back().from_b = one.from_b;
            else
                edits.push_back(one);
            k += down ? 1 : -1;
        }
        std::reverse(edits.begin(), edits.end());
        return edits;
    }

    const Lines& a_;
    const Lines& b_;
    std::size_t head_ = 0, tail_ = 0;
    std::int64_t rows_ = 0, columns_ = 0;
    std::vector<std::vector<std::int32_t>> furthest_;
};

void put_line(std::string& out, char sign, std::string_view line) {
    out.push_back(sign);
    out.append(line);
    if (!line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
}

// "12,3": a range of no lines is named by the line before it.
std::string range(std::size_t from, std::size_t to) {
    if (to - from == 1) return std::to_string(to);
    return fmt::format("{},{}", to == from ? from : from + 1, to - from);
}

// Edits [first, last) are near enough to share their context.
void put_hunk(std::string& out, const Lines& a, const Lines& b, std::span<const Edit> edits) {
    const std::size_t before = std::min(kContext, edits.front().from_a);
    const std::size_t after = std::min(kContext, a.size() - edits.back().to_a);
    out += fmt::format("@@ -{} +{} @@\n",
                       range(edits.front().from_a - before, edits.back().to_a + after),
                       range(edits.front().from_b - before, edits.back().to_b + after));
    std::size_t at = edits.front().from_a - before;
    for (const Edit& edit : edits) {
        for (; at < edit.from_a; ++at)
            put_line(out, ' ', a[at]);
        for (; at < edit.to_a; ++at)
            put_line(out, '-', a[at]);
        for (std::size_t line = edit.from_b; line < edit.to_b; ++line)
            put_line(out, '+', b[line]);
    }
    for (const std::size_t end = at + after; at < end; ++at)
        put_line(out, ' ', a[at]);
}

}  // namespace

std::string unified_text(std::string_view before, std::string_view after, std::string_view label_a,
                         std::string_view label_b) {
    const Lines a = split(before), b = split(after);
    const std::vector<Edit> edits = Myers(a, b).run();
    if (edits.empty()) return {};
    std::string out = fmt::format("--- {}\n+++ {}\n", label_a, label_b);
    for (std::size_t first = 0, at = 1; at <= edits.size(); ++at) {
        const bool is_near =
            at < edits.size() && edits[at].from_a - edits[at - 1].to_a <= 2 * kContext;
        if (is_near) continue;
        put_hunk(out, a, b, std::span(edits).subspan(first, at - first));
        first = at;
    }
    return out;
}

}  // namespace shale::report
