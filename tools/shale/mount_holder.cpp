// Both are one program in one state, which fork(2) copies: what the server does to its copy of that
// state is lost with it, and none of it matters, as what is shown does not change.
//
// Signals: whoever ends the mount may ask either process. The holder passes a request on, unless
// the server got it, too (a service manager asks all of them): a second one would end the server at
// once.
#include "mount_holder.hpp"

#include "exit_codes.hpp"

#include <shale/base.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <deque>
#include <new>

namespace shale::cli {

namespace {

using Clock = std::chrono::steady_clock;

// So many servers killed within so long: something kills each.
constexpr std::size_t kMostDeaths = 3;
constexpr auto kWithin = std::chrono::minutes(1);
// A request to end that reached the server as well has been noticed after this.
constexpr timespec kNoticed{0, 200'000'000};

// What the server tells the holder.
struct Shared {
    std::atomic<bool> is_ready{false}, is_ending{false};
};

Shared& new_shared() {
    void* const page =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) throw_errno("mmap");
    return *new (page) Shared;
}

// Those that the holder takes one by one.
sigset_t watched_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGCHLD, SIGTERM, SIGINT})
        ::sigaddset(&set, number);
    return set;
}

struct End {
    int status = 0;  // as waitpid has it
    int asked = 0;   // the signal that asked the holder to end meanwhile; 0: none
};

End wait_for(pid_t server, const sigset_t& watched, const Shared& shared) {
    End end;
    for (;;) {
        const auto ended = ::waitpid(server, &end.status, WNOHANG);
        if (ended == server) return end;
        if (ended < 0 && errno != EINTR) throw_errno("waitpid");
        const int number = ::sigwaitinfo(&watched, nullptr);
        if (number != SIGTERM && number != SIGINT) continue;
        end.asked = number;
        sigset_t child;
        ::sigemptyset(&child);
        ::sigaddset(&child, SIGCHLD);
        if (::sigtimedwait(&child, nullptr, &kNoticed) < 0 && !shared.is_ending)
            ::kill(server, number);
    }
}

[[noreturn]] void end_holder(int status) {
    ::_exit(status);  // all that there is belongs to the server
}

}  // namespace

void hold_mount(Serving& serving, Workspace& workspace, const std::string& name,
                const std::function<void()>& on_ready) {
    auto& shared = new_shared();
    const auto watched = watched_signals();
    sigset_t before;
    const auto holder = ::getpid();
    std::deque<Clock::time_point> deaths;
    int asked = 0;  // to end, by a signal that the server before did not live to see
    ::signal(SIGCHLD, SIG_DFL);
    serving.pause();
    workspace.pause_interrupts();
    if (::sigprocmask(SIG_BLOCK, &watched, &before) != 0) throw_errno("sigprocmask");
    for (;;) {
        const pid_t server = ::fork();
        if (server < 0) {
            if (!shared.is_ready) throw_errno("fork");
            log(LogLevel::Error, name + ": no other process can serve it");
            end_holder(kFailure);
        }
        if (server == 0) {
            ::sigprocmask(SIG_SETMASK, &before, nullptr);
            workspace.resume_interrupts();
            try {
                serving.go_on(holder, !deaths.empty());
            } catch (const std::exception& error) {
                if (deaths.empty()) throw;
                log(LogLevel::Error, name + " stays dead: " + error.what());
                end_holder(kFailure);  // what was written to the mount stays
            }
            if (!shared.is_ready.exchange(true)) on_ready();
            const std::stop_callback ending(workspace.stop(), [&] { shared.is_ending = true; });
            return serving.wait(workspace);
        }
        if (asked != 0) ::kill(server, asked);
        const auto end = wait_for(server, watched, shared);
        if (!WIFSIGNALED(end.status)) end_holder(WEXITSTATUS(end.status));
        // It had detached the mount already, and waited for its last user.
        if (shared.is_ending) end_holder(kSignalled + WTERMSIG(end.status));
        asked = end.asked;
        if (!shared.is_ready) {
            workspace.resume_interrupts();
            fail(ErrorKind::Failed, "the serving process was killed before it served");
        }
        deaths.push_back(Clock::now());
        while (Clock::now() - deaths.front() > kWithin && deaths.size() > 1)
            deaths.pop_front();
        const auto how = name + ": the serving process was killed by signal " +
                         std::to_string(WTERMSIG(end.status));
        if (deaths.size() > kMostDeaths) {
            log(LogLevel::Error, how + ", as the ones before it; the mount is dead");
            end_holder(kFailure);
        }
        log(LogLevel::Warn, how + "; another one goes on");
    }
}

}  // namespace shale::cli
