// shale man: the manual pages, for the build system to install and for anyone to read.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "manual.hpp"

#include <shale/base.hpp>

#include <memory>

namespace shale::cli {

namespace {

int run(const std::string& topic) {
    if (topic.empty()) {
        print_result(manual_overview());
        return kOk;
    }
    const auto* command = find_command(topic);
    if (!command) fail(ErrorKind::Invalid, "no command \"" + topic + "\"; `shale help` lists them");
    print_result(manual_page(*command));
    return kOk;
}

Run declare(CLI::App& app) {
    auto topic = std::make_shared<std::string>();
    add_argument(app, "COMMAND", *topic, "The command of the page (default: shale itself)");
    return [topic](Workspace&) { return run(*topic); };
}

}  // namespace

const Command& man_command() {
    static const Command command = {
        .name = "man",
        .group = "Other",
        .summary = "Print a manual page",
        .usage = "[COMMAND]",
        .details = "Prints the source of the page, in the language of man(7).",
        .examples = {{"shale man build | man -l -", "Read the page of build"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
