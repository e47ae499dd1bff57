// Signals arrive in a handler that only writes one byte to a pipe; a thread turns the byte into a
// stop request, because request_stop() runs callbacks and may not be called in a handler.
//
// Handlers, not a blocked mask with sigwait: masks and ignored signals are inherited through exec,
// and the commands of a RUN must start with the default state.
#include "interrupts.hpp"

#include "exit_codes.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <ctime>

namespace shale::cli {

namespace {

constexpr std::array<int, 3> kStopSignals = {SIGINT, SIGTERM, SIGHUP};
constexpr std::array<int, 2> kKeyboardSignals = {SIGINT, SIGQUIT};

// A second signal within this is the first one, sent twice.
constexpr std::int64_t kSameNs = 300'000'000;

std::atomic<int> g_received{0};
std::atomic<std::int64_t> g_received_ns{0};
std::atomic<int> g_wake_fd{-1};

void on_stop_signal(int number) {
    const int saved_errno = errno;
    timespec time{};  // both calls are safe in a handler
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    const auto now = to_ns(time);
    std::int64_t first = 0;
    if (!g_received_ns.compare_exchange_strong(first, now)) {
        if (now - first > kSameNs) ::_exit(kSignalled + number);
        errno = saved_errno;
        return;
    }
    g_received.store(number);
    const char byte = 1;
    // The pipe is empty at the first signal, so this cannot block or fail in a way that matters.
    [[maybe_unused]] const auto written = ::write(g_wake_fd.load(), &byte, 1);
    errno = saved_errno;
}

void on_ignored_signal(int) {}

// Returns the action that was in force.
struct sigaction set_handler(int number, void (*handler)(int)) {
    struct sigaction action {
    }, before{};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    if (::sigaction(number, &action, &before) != 0) throw_errno("sigaction");
    return before;
}

}  // namespace

void turn_sigpipe_into_epipe() {
    set_handler(SIGPIPE, on_ignored_signal);
}

void Interrupts::start_watching() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
    UniqueFd read_end(ends[0]);
    g_wake_fd.store(ends[1]);
    watcher_ = std::jthread([source = source_, fd = std::move(read_end)]() mutable {
        char byte = 0;
        // End of file (the destructor closed the other end) means that nobody waits any more.
        if (::read(fd.get(), &byte, 1) == 1) source.request_stop();
    });
}

Interrupts::Interrupts(bool keyboard) {
    start_watching();
    for (const int number : kStopSignals)
        take_over(number, on_stop_signal);
    if (!keyboard)
        for (const int number : kKeyboardSignals)
            take_over(number, on_ignored_signal);
}

// A signal that whoever started us had ignored stays ignored: nohup, `cmd &` in a script.
void Interrupts::take_over(int number, void (*handler)(int)) {
    const auto before = set_handler(number, handler);
    if (before.sa_handler == SIG_IGN) ::sigaction(number, &before, nullptr);
    saved_.emplace_back(number, before);
}

void Interrupts::pause() {
    ::close(g_wake_fd.exchange(-1));
    watcher_.join();
}

void Interrupts::resume() {
    start_watching();
    if (g_received.load() != 0) source_.request_stop();
}

Interrupts::~Interrupts() {
    // The program is ending, and the same signal, sent twice, shall not cut that short.
    if (g_received.load() != 0) saved_.clear();
    // Backwards: a signal that was taken over twice gets its first action back.
    for (auto taken = saved_.rbegin(); taken != saved_.rend(); ++taken)
        ::sigaction(taken->first, &taken->second, nullptr);
    ::close(g_wake_fd.exchange(-1));
}

int Interrupts::received() {
    return g_received.load();
}

}  // namespace shale::cli
