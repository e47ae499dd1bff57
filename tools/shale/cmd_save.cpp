// shale save: images of the store as a file, for machines without a registry between them.
#include "command.hpp"
#include "console.hpp"
#include "copy_display.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "lazy_image.hpp"

#include <shale/base.hpp>
#include <shale/image_archive.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
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

// An index of that name of which all is here, whatever platforms it is for.
std::optional<oci::Descriptor> whole_index(store::Store& store, const std::string& text) {
    const auto name = parse_reference(text);
    const auto root = name ? store.resolve(*name) : std::nullopt;
    if (!root || !build::is_whole(store, *root)) return std::nullopt;
    const auto json = store.read_document(root->digest, oci::kMaxManifestBytes);
    return oci::is_index(json) ? root : std::nullopt;
}

// An OCI layout takes an index as a whole, if nobody wants one image of it.
oci::Descriptor find_root(Workspace& workspace, const std::string& text, const Flags& flags) {
    const auto platform = chosen_platform(flags.platform);
    const bool takes_index = flags.format != "docker" && !platform;
    if (takes_index)
        if (auto index = whole_index(workspace.store(), text)) return std::move(*index);
    const auto image = obtain_image(workspace, text, platform);
    if (takes_index && image.index && build::is_whole(workspace.store(), *image.index))
        return *image.index;
    announce_platform(image, platform);
    return image.descriptor;
}

build::SavedImage find(Workspace& workspace, const std::string& given, const Flags& flags) {
    build::SavedImage saved{find_root(workspace, given, flags), {}};
    const auto text =
        given.starts_with(kRegistryPrefix) ? given.substr(kRegistryPrefix.size()) : given;
    if (auto name = name_of(workspace.store(), text)) saved.names.push_back(std::move(*name));
    return saved;
}

void add(std::vector<build::SavedImage>& images, build::SavedImage found) {
    const auto same = std::ranges::find(images, found.root.digest,
                                        [](const auto& image) { return image.root.digest; });
    if (same == images.end()) return images.push_back(std::move(found));
    for (auto& name : found.names)
        if (std::ranges::find(same->names, name) == same->names.end())
            same->names.push_back(std::move(name));
}

int run(const Flags& flags, Workspace& workspace) {
    const bool as_directory = flags.format == "oci-dir";
    if (as_directory && (flags.output.empty() || flags.output == "-"))
        fail(ErrorKind::Invalid, "--format oci-dir needs the directory: -o DIR");
    if (flags.output.empty() && is_terminal(STDOUT_FILENO))
        fail(ErrorKind::Invalid, "an archive is not for a terminal: -o FILE, or a pipe");
    std::vector<build::SavedImage> images;
    for (const auto& text : flags.images)
        add(images, find(workspace, text, flags));
    auto& store = workspace.store();
    const auto stop = workspace.stop();
    const auto form = flags.format == "oci" ? build::ArchiveForm::Oci : build::ArchiveForm::Docker;
    const auto save = [&](const build::OnCopied& on_copied) {
        if (as_directory) return build::save_layout(store, images, flags.output, stop, on_copied);
        if (flags.output.empty() || flags.output == "-")
            return build::save_images(
                store, images, form, [](Bytes bytes) { print_result(as_text(bytes)); }, stop,
                on_copied);
        OutputFile file(flags.output);
        build::save_images(
            store, images, form, [&](Bytes bytes) { file.write(bytes); }, stop, on_copied);
        file.commit(OutputFile::Durability::NotSynced);
    };
    const auto& first = flags.images.front();
    with_copy_display("Saving",
                      images.size() == 1 ? first : fmt::format("{} images", images.size()), false,
                      save);
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
