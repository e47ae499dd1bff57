// The terminal display: a block at the bottom of the screen, redrawn in place.
//
// Events only change the model; a thread draws it ten times a second, so a step that prints a
// million lines costs ten redraws a second and not a million. A redraw moves the cursor up over the
// lines it drew last time, which is right only if no drawn line wrapped: every line is cut to the
// width of the terminal, measured in columns, and the block never grows past its height.
#include "console.hpp"
#include "progress.hpp"
#include "step_log.hpp"
#include "terminal_text.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace shale::cli {

namespace {

constexpr std::size_t kTailLines = 6;
// A window smaller than this shows a broken picture instead of none.
constexpr std::size_t kFewestColumns = 20, kFewestRows = 4;
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr std::string_view kRed = "\x1b[31m", kYellow = "\x1b[33m", kBlue = "\x1b[34m",
                           kReset = "\x1b[0m";

struct Status {
    std::string what;
    std::uint64_t current = 0, total = 0;
};

struct Step {
    std::string name;
    std::int64_t started_ns = 0, ended_ns = 0;
    std::optional<build::Outcome> outcome;
    std::deque<std::string> tail;  // last lines of output
    std::vector<Status> statuses;  // in order of first report
    std::unique_ptr<StepLog> log;
};

class TtyDisplay final : public Display {
  public:
    explicit TtyDisplay(const DisplayOptions& options)
        : fd_(options.fd), colour_(options.colour), activity_(options.activity),
          clock_(options.clock), began_ns_(clock_.now_ns()),
          painter_([this](std::stop_token stop) { paint(stop); }) {}
    ~TtyDisplay() override { close(); }

    void started(build::VertexId id, const std::string& name) override;
    void output(build::VertexId id, sandbox::OutputStream stream, std::string_view text) override;
    void status(build::VertexId id, const std::string& what, std::uint64_t current,
                std::uint64_t total) override;
    void finished(build::VertexId id, build::Outcome outcome, const std::string& message) override;
    void warning(const std::string& text) override;
    void close() override;

  private:
    struct Block {
        std::vector<std::string> lines;  // the first is the step, the rest its details
        bool running = false;
    };

    void paint(std::stop_token stop);
    void draw(bool last);
    static void shrink(std::vector<Block>& all, std::size_t limit);
    std::string header(bool last) const;
    std::vector<Block> blocks(std::size_t columns, bool last) const;
    std::string step_line(const Step& step, std::size_t columns) const;
    std::string_view colour_of(const Step& step) const;

    const int fd_;
    const bool colour_;
    const std::string activity_;
    const Clock& clock_;
    const std::int64_t began_ns_;
    // Held while drawing, see PlainDisplay.
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<build::VertexId, Step> steps_;
    std::vector<std::string> warnings_;  // not yet printed
    std::size_t drawn_lines_ = 0;
    bool closed_ = false;
    std::jthread painter_;  // last: it uses the rest
};

void TtyDisplay::started(build::VertexId id, const std::string& name) {
    std::lock_guard lock(mutex_);
    Step& step = steps_[id];
    step.name = printable(name);
    step.started_ns = clock_.now_ns();
    step.log = std::make_unique<StepLog>([&step](std::string line) {
        step.tail.push_back(std::move(line));
        if (step.tail.size() > kTailLines) step.tail.pop_front();
    });
}

void TtyDisplay::output(build::VertexId id, sandbox::OutputStream stream, std::string_view text) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (found != steps_.end()) found->second.log->feed(stream, text);
}

void TtyDisplay::status(build::VertexId id, const std::string& what, std::uint64_t current,
                        std::uint64_t total) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (found == steps_.end()) return;
    auto& statuses = found->second.statuses;
    const auto name = printable(what);
    auto status = std::find_if(statuses.begin(), statuses.end(),
                               [&](const Status& known) { return known.what == name; });
    if (status == statuses.end()) status = statuses.insert(status, Status{name});
    status->current = current;
    status->total = total;
}

void TtyDisplay::finished(build::VertexId id, build::Outcome outcome, const std::string&) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (found == steps_.end()) return;
    found->second.log->finish();
    found->second.outcome = outcome;
    found->second.ended_ns = clock_.now_ns();
}

void TtyDisplay::warning(const std::string& text) {
    std::lock_guard lock(mutex_);
    if (!closed_) warnings_.push_back("WARN: " + printable(text));
}

void TtyDisplay::close() {
    {
        std::lock_guard lock(mutex_);
        if (closed_) return;
        closed_ = true;
        constexpr bool kLast = true;
        draw(kLast);
    }
    painter_.request_stop();
}

void TtyDisplay::paint(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    constexpr bool kLast = true;
    while (!wake_.wait_for(lock, stop, kTick, [&] { return closed_; }) && !stop.stop_requested())
        draw(!kLast);
}

std::string TtyDisplay::header(bool last) const {
    const auto ended = std::count_if(steps_.begin(), steps_.end(), [](const auto& item) {
        return item.second.outcome.has_value();
    });
    const bool failed = std::any_of(steps_.begin(), steps_.end(), [](const auto& item) {
        return item.second.outcome == build::Outcome::Failed;
    });
    const auto seconds = static_cast<double>(clock_.now_ns() - began_ns_) / 1e9;
    auto text = fmt::format("[+] {} {:.1f}s ({}/{})", activity_, std::max(0.0, seconds), ended,
                            steps_.size());
    if (last) text += failed ? " ERROR" : " FINISHED";
    return text;
}

std::string_view TtyDisplay::colour_of(const Step& step) const {
    if (!colour_ || !step.outcome) return {};
    if (*step.outcome == build::Outcome::Failed) return kRed;
    return *step.outcome == build::Outcome::Cancelled ? kYellow : kBlue;
}

std::string TtyDisplay::step_line(const Step& step, std::size_t columns) const {
    std::string_view word;
    if (step.outcome == build::Outcome::Cached) word = "CACHED ";
    if (step.outcome == build::Outcome::Failed) word = "ERROR ";
    if (step.outcome == build::Outcome::Cancelled) word = "CANCELED ";
    const auto until = step.outcome ? step.ended_ns : clock_.now_ns();
    const auto passed = std::max<std::int64_t>(0, until - step.started_ns);
    const auto time =
        fmt::format(" {:.1f}s", static_cast<double>(passed) / static_cast<double>(kNsPerSecond));
    const auto room = columns > time.size() ? columns - time.size() : 0;
    auto text = fit(fmt::format(" => {}{}", word, step.name), room);
    text.append(room - std::min(room, display_width(text)), ' ');
    const auto colour = colour_of(step);
    return fmt::format("{}{}{}{}", colour, text, time, colour.empty() ? "" : kReset);
}

std::vector<TtyDisplay::Block> TtyDisplay::blocks(std::size_t columns, bool last) const {
    std::vector<Block> all;
    for (const auto& [id, step] : steps_) {
        Block block{{step_line(step, columns)}, !step.outcome.has_value()};
        const bool details = block.running && !last;
        for (const auto& status : step.statuses) {
            if (!details) break;
            auto text = " => => " + with_short_digests(status.what);
            if (status.total > 1)
                text +=
                    fmt::format(" {} / {}", format_size(status.current), format_size(status.total));
            else if (status.total == 0 && status.current > 0)
                text += " " + format_size(status.current);
            block.lines.push_back(fit(text, columns));
        }
        for (const auto& line : step.tail)
            if (details) block.lines.push_back(fit(" => => # " + line, columns));
        // Progress bars and prompts end with no newline.
        if (const auto line = details ? step.log->unfinished() : ""; !line.empty())
            block.lines.push_back(fit(" => => # " + line, columns));
        all.push_back(std::move(block));
    }
    return all;
}

// Shortens the picture to `limit` lines: ended steps leave first, oldest first, then the details of
// running ones; what is still too much is cut at the bottom by the caller.
void TtyDisplay::shrink(std::vector<Block>& all, std::size_t limit) {
    std::size_t count = 0;
    for (const auto& block : all)
        count += block.lines.size();
    for (auto& block : all) {
        if (count <= limit) return;
        if (block.running) continue;
        count -= block.lines.size();
        block.lines.clear();
    }
    for (auto& block : all) {
        while (count > limit && block.lines.size() > 1) {
            block.lines.erase(block.lines.begin() + 1);
            --count;
        }
    }
}

void TtyDisplay::draw(bool last) {
    if (steps_.empty() && warnings_.empty()) return;
    const auto size = terminal_size(fd_);
    const auto columns = std::max<std::size_t>(size.columns, kFewestColumns) - 1;
    const auto limit = std::max<std::size_t>(size.rows, kFewestRows) - 1;
    std::string text;
    if (drawn_lines_ > 0) text += fmt::format("\x1b[{}A", drawn_lines_);
    text += "\r";
    // Line by line: terminals with a history keep what is erased all at once from the top.
    constexpr std::string_view kEndOfLine = "\x1b[K\n";
    const auto before = std::exchange(drawn_lines_, 0);
    std::size_t written = 0;
    const auto put = [&](const std::string& line) {
        text.append(line).append(kEndOfLine);
        ++written;
    };
    for (const auto& warning : warnings_)
        put(warning);
    warnings_.clear();
    auto all = blocks(columns, last);
    // The last picture may scroll: nothing will be drawn over it.
    if (!last) shrink(all, limit - 1);
    put(fit(header(last), columns));
    drawn_lines_ = 1;
    for (const auto& block : all) {
        for (const auto& line : block.lines) {
            if (!last && drawn_lines_ >= limit) break;
            put(line);
            ++drawn_lines_;
        }
    }
    if (written < before) text += "\x1b[J";
    try {
        write_all(fd_, as_bytes(text), "terminal");
    } catch (const Error&) {
        // The terminal hung up; SIGHUP tells the program, the picture is lost either way.
    }
}

}  // namespace

std::unique_ptr<Display> tty_display(const DisplayOptions& options) {
    return std::make_unique<TtyDisplay>(options);
}

}  // namespace shale::cli
