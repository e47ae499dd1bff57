// shale push: an image from the store to its registry.
#include "command.hpp"
#include "console.hpp"
#include "transfer_flags.hpp"
#include "workspace.hpp"

#include <shale/build.hpp>

#include <memory>

namespace shale::cli {

namespace {

int run(const TransferFlags& flags, Workspace& workspace) {
    const auto name = oci::Reference::parse(flags.reference);
    const auto display = transfer_display(flags, "Pushing");
    build::Tracker tracker(*display);
    const auto manifest = workspace.images().push(name, tracker);
    display->close();
    print_result(with_digest(name, manifest.digest) + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<TransferFlags>();
    add_transfer_flags(app, *flags);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& push_command() {
    static const Command command = {
        .name = "push",
        .group = "Images",
        .summary = "Send an image of the store to its registry",
        .usage = "[OPTIONS] REF",
        .details = "Sends the blobs that the registry lacks, then the manifest. The registry is "
                   "part of the name; `shale tag` gives an image another name.\n\n"
                   "Prints the name with the digest of the manifest.",
        .examples = {{"shale tag app:prod registry.example/app:prod", "Name the destination"},
                     {"shale push registry.example/app:prod", "Send it"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
