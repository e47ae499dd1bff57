// Ctrl-C and SIGTERM as a std::stop_token.
#pragma once

#include <stop_token>
#include <thread>

namespace shale::cli {

// For the whole program, before anything else: a write to a closed pipe becomes EPIPE. Children
// start with the default action again, which SIG_IGN would not give them.
void turn_sigpipe_into_epipe();

// While it lives, SIGINT, SIGTERM and SIGHUP request a stop instead of killing the program; a
// second SIGINT or SIGTERM exits at once. One at a time. Starts a thread: create it after forking.
class Interrupts {
  public:
    // `keyboard`: false leaves SIGINT and SIGQUIT to the command on the terminal (shale shell);
    // they reach the whole foreground group, and only the command should act on them.
    explicit Interrupts(bool keyboard = true);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;

    std::stop_token token() const { return source_.get_token(); }
    // The signal that asked to stop; 0 if none did.
    static int received();

  private:
    std::stop_source source_;
    std::jthread watcher_;
};

}  // namespace shale::cli
