// shale logout: forgets what shale login, or docker's, keeps.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "workspace.hpp"

#include <shale/registry.hpp>

#include <memory>
#include <string>

namespace shale::cli {

namespace {

int run(const std::string& server) {
    const auto domain = registry::domain_of(server);
    print_result((registry::erase_credential(domain) ? "Removed the login credentials for "
                                                     : "Not logged in to ") +
                 domain + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto server = std::make_shared<std::string>();
    add_argument(app, "SERVER", *server, "The registry (default Docker Hub)");
    return [server](Workspace&) { return run(*server); };
}

}  // namespace

const Command& logout_command() {
    static const Command command = {
        .name = "logout",
        .group = "Images",
        .summary = "Forget credentials for a registry",
        .usage = "[SERVER]",
        .details = "From docker's config.json, or the credential helper that it names.",
        .examples = {{"shale logout ghcr.io", "Of one registry"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
