// shale rm: names taken away.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>

#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> references;
};

// Every name is tried; one that is missing does not save the others.
int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    int status = kOk;
    for (const auto& text : flags.references) {
        const auto name = oci::Reference::parse(text);
        if (store.untag(name)) {
            print_result("untagged: " + name.familiar() + "\n");
        } else {
            print_error("no image \"" + text + "\" in the store");
            status = kFailure;
        }
    }
    return status;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_arguments(app, "REF", flags->references, "Image names")->required();
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& rm_command() {
    static const Command command = {
        .name = "rm",
        .group = "Images",
        .summary = "Remove names of images from the store",
        .usage = "REF...",
        .details = "Removes names only. Layers stay for the build cache and for other images.",
        .examples = {{"shale rm app:prod app:builder", "Remove two names"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
