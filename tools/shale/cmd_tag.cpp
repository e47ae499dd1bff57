// shale tag: a second name for an image.
#include "command.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"

#include <shale/base.hpp>

#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::string source, target;
};

int run(const Flags& flags, Workspace& workspace) {
    const auto target = oci::Reference::parse(flags.target);
    if (target.digest)
        fail(ErrorKind::Invalid, "a name with a digest cannot be given: " + flags.target);
    auto& store = workspace.store();
    store.tag(target, require_image(store, flags.source).descriptor);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "SRC", flags->source, "Name or ID of an image of the store")->required();
    add_argument(app, "DST", flags->target, "The name to give; moved if it exists")->required();
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& tag_command() {
    static const Command command = {
        .name = "tag",
        .group = "Images",
        .summary = "Give an image of the store another name",
        .usage = "SRC DST",
        .details = "Both names refer to the same image afterwards.",
        .examples = {{"shale tag app:prod localhost:5000/app:prod", "Name it for a registry"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
