// shale completion: the script that teaches a shell the commands and flags.
#include "command.hpp"
#include "completions.hpp"
#include "console.hpp"
#include "flags.hpp"

#include <memory>

namespace shale::cli {

namespace {

int run(const std::string& shell) {
    print_result(shell == "bash"  ? bash_completion()
                 : shell == "zsh" ? zsh_completion()
                                  : fish_completion());
    return kOk;
}

Run declare(CLI::App& app) {
    auto shell = std::make_shared<std::string>();
    restrict_to(required(add_argument(app, "SHELL", *shell, "bash, zsh or fish")),
                kCompletionShells);
    return [shell](Workspace&) { return run(*shell); };
}

}  // namespace

const Command& completion_command() {
    static const Command command = {
        .name = "completion",
        .group = "Other",
        .summary = "Print a completion script for a shell",
        .usage = "SHELL",
        .details = "The script knows every command and flag, and completes the names of images.",
        .examples = {{"source <(shale completion bash)", "Complete in this shell"},
                     {"shale completion fish > ~/.config/fish/completions/shale.fish",
                      "Complete in every fish"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
