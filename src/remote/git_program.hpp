// The git program with nothing of its surroundings: no configuration but ours, no prompts, no
// hooks, no credentials but those given, and only the protocols that parse_git() lets through.
#pragma once

#include <shale/remote.hpp>

namespace shale::remote {

class GitProgram {
  public:
    // `remote` decides which host gets the authorization, and is what messages must not show whole.
    GitProgram(std::string remote, const GitAccess& access, std::stop_token stop);

    struct Answer {
        bool success = false;
        std::string output;     // without the final newline
        std::string complaint;  // last lines of standard error, without passwords
    };
    // `arguments` follow "git"; `directory` is where it works: a worktree, or a bare repository.
    Answer try_run(const std::string& directory, std::vector<std::string> arguments,
                   const std::vector<std::string>& variables = {}) const;
    // Network, with git's complaint, if it fails.
    std::string run(const std::string& directory, std::vector<std::string> arguments,
                    const std::vector<std::string>& variables = {}) const;
    [[noreturn]] void report(const Answer& answer) const;
    std::string shown_remote() const { return http::without_password(remote_); }

  private:
    std::vector<std::string> environment() const;

    std::string remote_;
    GitAccess access_;
    std::stop_token stop_;
};

}  // namespace shale::remote
