// shale rm: names taken away, and images that have none.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"

#include <shale/base.hpp>

#include <cerrno>
#include <memory>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::vector<std::string> references;
    bool force = false;
};

// By ID: the one name that the image has, or the image that has none; by force all its names.
void remove_by_id(store::Store& store, const std::string& text, bool force) {
    const auto images = images_with_id(store, text);
    if (images.empty()) fail(ErrorKind::NotFound, "no image \"" + text + "\" in the store");
    std::vector<oci::Reference> names;
    for (const auto& image : images)  // of an index several bear one name
        if (image.name && (names.empty() || names.back() != *image.name))
            names.push_back(*image.name);
    if (names.size() > 1 && !force) {
        std::string list;
        for (const auto& name : names)
            list += (list.empty() ? "" : ", ") + name.familiar();
        fail(ErrorKind::Invalid,
             "image " + text + " has several names, remove them by name: " + list);
    }
    for (const auto& name : names)
        if (store.untag(name)) print_result("untagged: " + name.familiar() + "\n");
    for (const auto& image : images)
        if (!image.name && store.forget(image.named().digest))
            print_result("removed: " +
                         (image.index ? image.index->digest : image.manifest.config.digest).str() +
                         "\n");
}

void remove_image(store::Store& store, const std::string& text, bool force) {
    const auto name = parse_reference(text);
    if (name && store.untag(*name)) {
        print_result("untagged: " + name->familiar() + "\n");
        return;
    }
    if (!name && images_with_id(store, text).empty())
        oci::Reference::parse(text);  // throws what is wrong with it
    remove_by_id(store, text, force);
}

// Everything is tried; one that is missing or malformed does not save the others.
int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    int status = kOk;
    for (const auto& text : flags.references) {
        try {
            remove_image(store, text, flags.force);
        } catch (const Error& error) {
            if (error.sys_errno() == EPIPE) throw;
            print_error(error.what());
            const bool is_gone = error.kind() == ErrorKind::NotFound;
            if (!flags.force || !is_gone) status = kFailure;
        }
    }
    return status;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_arguments(app, "REF", flags->references, "Image names or IDs"));
    add_switch(app, "-f,--force", flags->force,
               "Remove all names of an ID, and do not fail over what is not there");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& rm_command() {
    static const Command command = {
        .name = "rm",
        .group = "Images",
        .summary = "Remove names of images from the store",
        .usage = "REF...",
        .details =
            "An ID stands for the only name of its image, or for an image without a name. Layers "
            "stay for the build cache and for other images.",
        .examples = {{"shale rm app:prod app:builder", "Remove two names"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
