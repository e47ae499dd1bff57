// shale load: images from a file into the store, under the names that they bear in there.
#include "command.hpp"
#include "console.hpp"
#include "copy_display.hpp"
#include "flags.hpp"
#include "input.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/image_archive.hpp>

#include <unistd.h>

#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::string input, tag;
    bool quiet = false;
};

std::vector<build::LoadedImage> load(const Flags& flags, store::Store& store,
                                     const build::OnCopied& on_copied) {
    if (!flags.input.empty() && flags.input != "-")
        return build::load_images(flags.input, store, on_copied);
    if (is_terminal(STDIN_FILENO))
        fail(ErrorKind::Invalid, "no archive comes from a terminal: -i FILE, or a pipe");
    const auto archive = open_input("-");
    return in_context([] { return std::string("standard input"); },
                      [&] {
                          return build::load_images(
                              "/proc/self/fd/" + std::to_string(archive.get()), store, on_copied);
                      });
}

int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    std::vector<oci::Reference> more;
    if (!flags.tag.empty()) {
        more.push_back(oci::Reference::parse(flags.tag));
        if (more.back().digest)
            fail(ErrorKind::Invalid, "a name with a digest cannot be given: " + flags.tag);
    }
    std::vector<build::LoadedImage> images;
    with_copy_display("Loading", flags.input.empty() ? "standard input" : flags.input, flags.quiet,
                      [&](const build::OnCopied& told) { images = load(flags, store, told); });
    if (!more.empty() && images.size() > 1)
        fail(ErrorKind::Invalid,
             "--tag names one image, there are " + std::to_string(images.size()));
    for (auto& image : images) {
        image.names.insert(image.names.end(), more.begin(), more.end());
        for (const auto& name : image.names) {
            store.tag(name, image.root);
            print_result("Loaded image: " + name.familiar() + "\n");
        }
        if (!image.names.empty()) continue;
        store.keep(image.root);
        print_result("Loaded image ID: " + image.id.str() + "\n");
    }
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_value(app, "-i,--input", flags->input, "FILE",
              "Read this file, or the directory of an OCI layout, instead of standard input");
    add_value(app, "-t,--tag", flags->tag, "NAME",
              "Give the image this name, too, if there is one alone");
    add_switch(app, "-q,--quiet", flags->quiet, "Show no progress");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& load_command() {
    static const Command command = {
        .name = "load",
        .group = "Images",
        .summary = "Bring images from a file into the store",
        .usage = "[OPTIONS]",
        .details =
            "Reads what `docker save`, `podman save`, `skopeo copy`, `buildah push` and `shale "
            "save` write: docker archives and OCI layouts, plain or compressed. Every digest that "
            "is stated is verified; the DiffIDs of a layout, as of what is pulled, when its layers "
            "are read. Names that the images bear are moved to them; an image without "
            "one has its ID printed, and --tag gives it a name.",
        .examples = {{"docker save app:prod | shale load", "From docker"},
                     {"shale load -i app.tar.gz -t app:prod", "A file, under a name of your own"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
