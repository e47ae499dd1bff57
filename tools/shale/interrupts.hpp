// Ctrl-C and SIGTERM as a std::stop_token.
#pragma once

#include <csignal>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace shale::cli {

// For the whole program, before anything else: a write to a closed pipe becomes EPIPE. Children
// start with the default action again, which SIG_IGN would not give them.
void turn_sigpipe_into_epipe();

// While it lives, SIGINT, SIGTERM and SIGHUP request a stop instead of killing the program; a
// second SIGINT or SIGTERM exits at once, unless it comes so soon that it can only mean the same:
// GNU timeout sends one to the process and one to its group. A signal that was ignored before stays
// ignored, and the end brings the earlier actions back, unless one was received, upon which the
// program ends. One at a time. Starts a thread: create it after forking, or pause() it.
class Interrupts {
  public:
    // `keyboard`: false leaves SIGINT and SIGQUIT to the command on the terminal (shale shell);
    // they reach the whole foreground group, and only the command should act on them.
    explicit Interrupts(bool keyboard = true);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;

    std::stop_token token() const { return source_.get_token(); }
    // For fork(2): ends the thread, and starts it again in the process that wants it. A signal that
    // came between is seen then.
    void pause();
    void resume();
    // The signal that asked to stop; 0 if none did.
    static int received();

  private:
    void take_over(int number, void (*handler)(int));
    void start_watching();

    std::vector<std::pair<int, struct sigaction>> saved_;
    std::stop_source source_;
    std::jthread watcher_;
};

}  // namespace shale::cli
