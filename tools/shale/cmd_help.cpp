// shale help: the overview, or the help of one command.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "help.hpp"

#include <shale/base.hpp>

#include <memory>
#include <string>
#include <vector>

namespace shale::cli {

namespace {

int run(const std::string& topic) {
    if (topic.empty()) {
        print_result(overview());
        return kOk;
    }
    const auto* command = find_command(topic);
    if (!command) {
        std::vector<std::string> names;
        for (const auto* known : commands())
            if (!known->hidden) names.emplace_back(known->name);
        const auto nearest = nearest_match(topic, names);
        fail(ErrorKind::Invalid, "no command \"" + topic + "\"" +
                                     (nearest.empty() ? "; `shale help` lists them"
                                                      : " (did you mean " + nearest + "?)"));
    }
    const Parser parser(*command);
    print_result(command_help(*command, parser.app));
    return kOk;
}

Run declare(CLI::App& app) {
    auto topic = std::make_shared<std::string>();
    add_argument(app, "COMMAND", *topic, "What to describe (default: everything, briefly)");
    return [topic](Workspace&) { return run(*topic); };
}

}  // namespace

const Command& help_command() {
    static const Command command = {
        .name = "help",
        .group = "Other",
        .summary = "Describe a command",
        .usage = "[COMMAND]",
        .details = "",
        .examples = {{"shale help build", "Every flag of build"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
