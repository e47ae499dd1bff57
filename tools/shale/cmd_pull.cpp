// shale pull: an image from its registry into the store.
#include "command.hpp"
#include "console.hpp"
#include "transfer_flags.hpp"
#include "workspace.hpp"

#include <shale/build.hpp>

#include <memory>

namespace shale::cli {

namespace {

struct Flags : TransferFlags {
    std::string platform;
};

int run(const Flags& flags, Workspace& workspace) {
    const auto name = oci::Reference::parse(flags.reference);
    const auto platform =
        flags.platform.empty() ? oci::Platform::host() : oci::Platform::parse(flags.platform);
    const auto display = transfer_display(flags, "Pulling");
    build::Tracker tracker(*display);
    const auto image = workspace.images().pull(name, platform, tracker);
    display->close();
    print_result(with_digest(name, image.descriptor.digest) + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_transfer_flags(app, *flags);
    add_value(app, "--platform", flags->platform, "PLATFORM",
              "Take the image of this platform, such as linux/arm64 (default: this machine's)");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& pull_command() {
    static const Command command = {
        .name = "pull",
        .group = "Images",
        .summary = "Bring an image from its registry into the store",
        .usage = "[OPTIONS] REF",
        .details =
            "Names follow Docker Hub's rules: node:18 is docker.io/library/node:18. Mirrors "
            "and registries without TLS come from config.json, credentials from Docker's, or "
            "from the auth.json of podman. "
            "Every byte is verified against its digest; layers that the store has are not "
            "fetched again.\n\n"
            "Prints the name with the digest of the manifest.",
        .examples = {{"shale pull node:18", "From Docker Hub or its mirror"},
                     {"shale pull localhost:5000/app:prod", "From a registry on this machine"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
