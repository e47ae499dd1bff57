// The plain display.
//
// Steps run side by side, but a log reads best when the lines of one step stay together. So one
// step at a time has the floor: its lines are printed as they come, those of others wait. The floor
// moves when its holder ends, or when others wait and it has said nothing for kFloorNs; then a line
// "#N ..." tells that the step goes on. A thread wakes up now and then for that second case,
// because silence raises no event.
#include "progress.hpp"
#include "step_log.hpp"
#include "terminal_text.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

namespace shale::cli {

namespace {

constexpr std::int64_t kFloorNs = kNsPerSecond;
constexpr std::int64_t kStatusIntervalNs = 5 * kNsPerSecond;
constexpr auto kTick = std::chrono::milliseconds(250);

std::string compact_size(std::uint64_t bytes) {
    auto text = format_size(bytes);
    std::erase(text, ' ');
    return text;
}

class PlainDisplay final : public Display {
  public:
    explicit PlainDisplay(const DisplayOptions& options)
        : fd_(options.fd), clock_(options.clock),
          ticker_([this](std::stop_token stop) { tick(stop); }) {}
    ~PlainDisplay() override { close(); }

    void started(build::VertexId id, const std::string& name) override;
    void output(build::VertexId id, sandbox::OutputStream stream, std::string_view text) override;
    void status(build::VertexId id, const std::string& what, std::uint64_t current,
                std::uint64_t total) override;
    void finished(build::VertexId id, build::Outcome outcome, const std::string& message) override;
    void warning(const std::string& text) override;
    void close() override;

  private:
    struct Status {
        std::int64_t first_ns = 0, printed_ns = 0;
        bool done = false;
    };
    struct Step {
        std::string name;
        std::int64_t started_ns = 0;
        unsigned number = 0;  // 0 until the step is first printed
        std::deque<std::string> waiting;
        std::unique_ptr<StepLog> log;
        std::map<std::string, Status> statuses;
        bool ended = false;
    };

    void tick(std::stop_token stop);
    void say(Step& step, std::string line) { step.waiting.push_back(std::move(line)); }
    double seconds_since(std::int64_t then_ns) const;
    void pump(bool hurry = false);
    build::VertexId next_waiting() const;
    void take_floor(build::VertexId id);
    void print_waiting(Step& step);
    void write(const std::string& text);

    const int fd_;
    const Clock& clock_;
    // Held while writing to fd_: the order of lines is what this class is for.
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<build::VertexId, Step> steps_;
    build::VertexId floor_ = 0;  // 0: nobody
    std::int64_t last_print_ns_ = 0;
    unsigned numbered_ = 0;
    bool closed_ = false;
    std::jthread ticker_;  // last: it uses the rest
};

double PlainDisplay::seconds_since(std::int64_t then_ns) const {
    const auto passed = std::max<std::int64_t>(0, clock_.now_ns() - then_ns);
    return static_cast<double>(passed) / static_cast<double>(kNsPerSecond);
}

void PlainDisplay::started(build::VertexId id, const std::string& name) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    Step& step = steps_[id];
    step.name = printable(name);
    step.started_ns = clock_.now_ns();
    step.log = std::make_unique<StepLog>([this, &step](const std::string& line) {
        say(step, fmt::format("{:.3f} {}", seconds_since(step.started_ns), line));
    });
    pump();
}

void PlainDisplay::output(build::VertexId id, sandbox::OutputStream stream, std::string_view text) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (closed_ || found == steps_.end()) return;
    found->second.log->feed(stream, text);
    pump();
}

void PlainDisplay::status(build::VertexId id, const std::string& what, std::uint64_t current,
                          std::uint64_t total) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (closed_ || found == steps_.end()) return;
    const auto now = clock_.now_ns();
    auto [entry, is_new] = found->second.statuses.try_emplace(what);
    Status& status = entry->second;
    if (is_new) status.first_ns = now;
    const bool done = total > 0 && current >= total;
    if (status.done) return;
    if (!is_new && !done && now - status.printed_ns < kStatusIntervalNs) return;
    status.printed_ns = now;
    status.done = done;
    std::string line = printable(what);
    if (total > 1)
        line += " " + compact_size(current) + " / " + compact_size(total);
    else if (total == 0 && current > 0)
        line += " " + compact_size(current);
    if (!is_new || done) line += fmt::format(" {:.1f}s", seconds_since(status.first_ns));
    say(found->second, done ? line + " done" : line);
    pump();
}

void PlainDisplay::finished(build::VertexId id, build::Outcome outcome,
                            const std::string& message) {
    std::lock_guard lock(mutex_);
    const auto found = steps_.find(id);
    if (closed_ || found == steps_.end() || found->second.ended) return;
    Step& step = found->second;
    step.log->finish();
    switch (outcome) {
    case build::Outcome::Done:
        say(step, fmt::format("DONE {:.1f}s", seconds_since(step.started_ns)));
        break;
    case build::Outcome::Cached:
        say(step, "CACHED");
        break;
    case build::Outcome::Failed:
        say(step, "ERROR: " + printable(message));
        break;
    case build::Outcome::Cancelled:
        say(step, "CANCELED");
        break;
    }
    step.ended = true;
    pump();
}

void PlainDisplay::warning(const std::string& text) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    if (floor_ != 0) write(fmt::format("#{} ...\n\n", steps_.at(floor_).number));
    floor_ = 0;
    write("WARN: " + printable(text) + "\n\n");
    pump();
}

void PlainDisplay::close() {
    {
        std::lock_guard lock(mutex_);
        if (closed_) return;
        constexpr bool kHurry = true;
        for (auto& [id, step] : steps_)
            if (!step.ended) step.log->finish();
        pump(kHurry);
        closed_ = true;
    }
    ticker_.request_stop();
}

void PlainDisplay::tick(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, stop, kTick, [&] { return closed_; }) && !stop.stop_requested())
        pump();
}

// Prints what may be printed now. In a hurry (the end) nobody's turn is respected.
void PlainDisplay::pump(bool hurry) {
    for (;;) {
        if (floor_ != 0) {
            print_waiting(steps_.at(floor_));
            if (steps_.at(floor_).ended) {
                write("\n");
                floor_ = 0;
            }
        }
        const auto next = next_waiting();
        if (next == 0) return;
        if (floor_ != 0) {
            if (!hurry && clock_.now_ns() - last_print_ns_ < kFloorNs) return;
            write(fmt::format("#{} ...\n\n", steps_.at(floor_).number));
        }
        take_floor(next);
    }
}

// The step that has waited, oldest first; 0 if none. Ended steps go first: they block nobody. A
// step that was never printed waits for its first line, its name.
build::VertexId PlainDisplay::next_waiting() const {
    build::VertexId running = 0;
    for (const auto& [id, step] : steps_) {
        if (step.waiting.empty() && step.number != 0) continue;
        if (step.ended) return id;
        if (running == 0) running = id;
    }
    return running;
}

void PlainDisplay::take_floor(build::VertexId id) {
    Step& step = steps_.at(id);
    if (step.number == 0) step.number = ++numbered_;
    write(fmt::format("#{} {}\n", step.number, step.name));
    floor_ = id;
}

void PlainDisplay::print_waiting(Step& step) {
    if (step.waiting.empty()) return;
    std::string text;
    for (const auto& line : step.waiting)
        text += fmt::format("#{} {}\n", step.number, line);
    step.waiting.clear();
    write(text);
}

void PlainDisplay::write(const std::string& text) {
    last_print_ns_ = clock_.now_ns();
    try {
        write_all(fd_, as_bytes(text), "standard error");
    } catch (const Error&) {
        // Nobody reads the progress any more; the build goes on without an audience.
    }
}

}  // namespace

std::unique_ptr<Display> plain_display(const DisplayOptions& options) {
    return std::make_unique<PlainDisplay>(options);
}

}  // namespace shale::cli
