// The program: finds the command, parses its flags, runs it, and turns what went wrong into one
// line and an exit status. Nothing below this file prints an error of its own.
#include "command.hpp"
#include "console.hpp"
#include "exit_codes.hpp"
#include "flags.hpp"
#include "help.hpp"
#include "interrupts.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>

#include <CLI/Error.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace shale::cli {

namespace {

std::string hint_for(const std::string& word, const std::vector<std::string>& known) {
    const auto nearest = nearest_match(word, known);
    return nearest.empty() ? "" : " (did you mean " + nearest + "?)";
}

// Verbs of docker that have another name here.
std::string other_name(const std::string& word) {
    static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"run", "shell IMAGE -- COMMAND"},
        {"exec", "shell IMAGE -- COMMAND"},
        {"fmt", "dockerfile fmt"},
        {"rmi", "rm"},
        {"ls", "images"},
        {"ps", "mount"},
        {"buildx", "build"},
        {"logs", "builds log"},
        {"unmount", "umount"}};
    for (const auto& [name, ours] : kNames)
        if (word == name) return " (here it is `shale " + std::string(ours) + "`)";
    return {};
}

std::vector<std::string> command_names() {
    std::vector<std::string> names;
    for (const auto* command : commands())
        if (!command->hidden) names.emplace_back(command->name);
    return names;
}

// What was given, in CLI11's words, with a suggestion where a flag is merely misspelt.
std::string usage_message(const CLI::ParseError& error, const CLI::App& app,
                          const Command& command) {
    std::string text = error.what();
    const auto extra = app.remaining();
    const bool is_extra =
        error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !extra.empty();
    if (is_extra && !extra.front().starts_with('-')) {
        text = "unexpected argument \"" + extra.front() + "\"";
        if (!command.takes_command_line) return text;
        return text + "; a command stands behind --: `shale " + std::string(command.name) +
               " ... -- " + extra.front() + "`";
    }
    if (is_extra && extra.front().size() > 1 && !extra.front().starts_with("--"))
        return "unknown flag: " + extra.front();
    const auto dashes = text.find("--");
    if (dashes == std::string::npos ||
        error.get_exit_code() != static_cast<int>(CLI::ExitCodes::ExtrasError))
        return text;
    const auto flag = text.substr(dashes, text.find_first_of(" =", dashes) - dashes);
    return "unknown flag: " + flag + hint_for(flag, long_flag_names(app));
}

int exit_code_of(const Error& error, int failure_code) {
    if (const int signal = Interrupts::received(); signal != 0) return kSignalled + signal;
    return error.sys_errno() == EPIPE ? kBrokenPipe : failure_code;
}

// Global flags may stand before the command; the rest is the command's.
std::size_t command_position(const std::vector<std::string>& words) {
    std::size_t at = 0;
    while (at < words.size() && words[at].starts_with('-'))
        at += words[at] == "--root" ? 2 : 1;
    return at;
}

// Before a "--", behind which the words belong to somebody else (shale shell).
bool asks_for_help(const std::vector<std::string>& words) {
    for (const auto& word : words) {
        if (word == "--") return false;
        if (word == "--help" || word == "-h") return true;
    }
    return false;
}

int run_command(const Command& command, std::vector<std::string> words) {
    Parser parser(command);
    if (command.takes_command_line) {
        const auto mark = std::find(words.begin(), words.end(), "--");
        if (mark != words.end()) parser.globals.rest.assign(mark + 1, words.end());
        words.erase(mark, words.end());
    }
    try {
        if (asks_for_help(words)) {
            print_result(command_help(command, parser.app));
            return kOk;
        }
        words = spelled_out(words, parser.app);
        std::reverse(words.begin(), words.end());  // as CLI11 takes them
        parser.app.parse(words);
    } catch (const CLI::ParseError& error) {
        print_error(usage_message(error, parser.app, command) + "; see `shale " +
                    std::string(command.name) + " --help`");
        return command.failure_code;
    }
    if (parser.globals.debug) set_log_level(LogLevel::Debug);
    Workspace workspace(parser.globals);
    try {
        return parser.run(workspace);
    } catch (const Error& error) {
        const int code = exit_code_of(error, command.failure_code);
        if (code != kBrokenPipe) print_error(error.what());
        return code;
    } catch (const std::exception& error) {
        print_error(error.what());
        return command.failure_code;
    }
}

int run(const std::vector<std::string>& words) {
    const auto at = command_position(words);
    const auto leading = std::vector<std::string>(
        words.begin(), words.begin() + static_cast<std::ptrdiff_t>(std::min(at, words.size())));
    for (const auto& word : leading) {
        if (word == "--version" || word == "-v") {
            print_result("shale " SHALE_VERSION "\n");
            return kOk;
        }
        if (word == "--help" || word == "-h") {
            print_result(overview());
            return kOk;
        }
    }
    if (at >= words.size()) {
        print_error("no command given; `shale --help` lists them");
        return kFailure;
    }
    const auto* command = find_command(words[at]);
    if (!command) {
        const auto other = other_name(words[at]);
        print_error("unknown command \"" + words[at] + "\"" +
                    (other.empty() ? hint_for(words[at], command_names()) : other));
        return kFailure;
    }
    std::vector<std::string> rest = leading;
    rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
    return run_command(*command, std::move(rest));
}

// A file opened by us must not become standard input, output or error of a command, or receive
// what is meant for them, because we were started with one of them closed.
void fill_standard_descriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
        if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) ::_exit(kFailure);
}

}  // namespace

}  // namespace shale::cli

int main(int argc, char** argv) {
    shale::cli::fill_standard_descriptors();
    shale::cli::turn_sigpipe_into_epipe();
    try {
        return shale::cli::run({argv + 1, argv + argc});
    } catch (const shale::Error& error) {  // standard output went away while printing help
        if (error.sys_errno() == EPIPE) return shale::cli::kBrokenPipe;
        shale::cli::print_error(error.what());
        return shale::cli::kFailure;
    }
}
