// The one place that creates processes.
#pragma once

#include "command_runner.hpp"

#include <shale/base.hpp>

namespace shale::sandbox {

// A running program. Destruction kills and reaps it.
class Child {
  public:
    // Descriptors for the program's 0, 1 and 2. Nothing else is inherited.
    struct Stdio {
        int in = -1, out = -1, err = -1;
    };
    // Starts `command` as Command promises. Throws, naming the step, if anything up to and
    // including exec fails.
    static Child start_contained(const Command& command, const Stdio& stdio);
    // Starts a plain helper in the caller's namespaces, without an environment. A descriptor of -1
    // is /dev/null; `keep` are further inherited ones.
    static Child start_helper(const std::vector<std::string>& argv, Stdio stdio,
                              const std::vector<int>& keep = {});

    Child(Child&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), pid_fd_(std::move(other.pid_fd_)) {}
    ~Child();
    int pid_fd() const { return pid_fd_.get(); }  // readable once the program has ended
    void kill() const;
    Exit wait();

  private:
    Child(int pid, UniqueFd pid_fd) : pid_(pid), pid_fd_(std::move(pid_fd)) {}
    struct Plan;
    static Child start(Plan& plan);
    static int child_main(void* plan);
    int pid_ = -1;
    UniqueFd pid_fd_;
};

}  // namespace shale::sandbox
