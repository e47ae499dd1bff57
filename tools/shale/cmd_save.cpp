// shale save: images of the store as a file, for machines without a registry between them.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"

#include <shale/base.hpp>
#include <shale/image_archive.hpp>

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> images;
    std::string output, platform;
    std::string format = "docker";
};

// Only a name that was given is one of the archive: an ID says nothing about names.
std::optional<oci::Reference> name_of(store::Store& store, const std::string& text) {
    auto name = parse_reference(text);
    if (!name || name->tag.empty() || !store.resolve(*name)) return std::nullopt;
    name->digest.reset();
    return name;
}

// An OCI layout takes an index whole, if all of it is here and nobody wants one image of it.
build::SavedImage find(Workspace& workspace, const std::string& text, const Flags& flags) {
    const auto platform = chosen_platform(flags.platform);
    const auto image = obtain_image(workspace, text, platform);
    auto& store = workspace.store();
    build::SavedImage saved{image.descriptor, {}};
    if (flags.format != "docker" && image.index && !platform &&
        build::is_whole(store, *image.index))
        saved.root = *image.index;
    else
        announce_platform(image, platform);
    if (auto name = name_of(store, text)) saved.names.push_back(std::move(*name));
    return saved;
}

int run(const Flags& flags, Workspace& workspace) {
    const bool as_directory = flags.format == "oci-dir";
    if (as_directory && flags.output.empty())
        fail(ErrorKind::Invalid, "--format oci-dir needs the directory: -o DIR");
    if (flags.output.empty() && is_terminal(STDOUT_FILENO))
        fail(ErrorKind::Invalid, "an archive is not for a terminal: -o FILE, or a pipe");
    std::vector<build::SavedImage> images;
    for (const auto& text : flags.images) {
        auto found = find(workspace, text, flags);
        const auto same = std::ranges::find(images, found.root.digest,
                                            [](const auto& image) { return image.root.digest; });
        if (same == images.end())
            images.push_back(std::move(found));
        else
            same->names.insert(same->names.end(), found.names.begin(), found.names.end());
    }
    auto& store = workspace.store();
    const auto stop = workspace.stop();
    if (as_directory) {
        build::save_layout(store, images, flags.output, stop);
        return kOk;
    }
    const auto form = flags.format == "oci" ? build::ArchiveForm::Oci : build::ArchiveForm::Docker;
    if (flags.output.empty() || flags.output == "-") {
        build::save_images(
            store, images, form, [](Bytes bytes) { print_result(as_text(bytes)); }, stop);
        return kOk;
    }
    OutputFile file(flags.output);
    build::save_images(
        store, images, form, [&](Bytes bytes) { file.write(bytes); }, stop);
    file.commit(OutputFile::Durability::NotSynced);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_arguments(app, "IMAGE", flags->images, "Name or ID of an image"));
    add_value(app, "-o,--output", flags->output, "FILE", "Write there instead of standard output");
    add_value(app, "--format", flags->format, "docker|oci|oci-dir",
              "What `docker load` of any version reads (default), or an OCI layout as a tar or a "
              "directory");
    add_platform_flag(app, flags->platform);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& save_command() {
    static const Command command = {
        .name = "save",
        .group = "Images",
        .summary = "Write images to a file",
        .usage = "[OPTIONS] IMAGE...",
        .details =
            "The docker form holds one platform and has zstd layers as plain tars; image IDs stay. "
            "An OCI layout has every blob as it is, and all platforms of an index if they are in "
            "the store. An image that the store lacks is pulled.",
        .examples = {{"shale save app:prod | ssh host docker load", "To a machine with docker"},
                     {"shale save --format oci -o app.tar app:prod app:test", "Two images"},
                     {"shale save app:prod | ssh host shale load", "To another store"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
