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

// A name, and the digest of an index, mean all platforms of the index; an ID means one image.
oci::Descriptor find_source(store::Store& store, const std::string& text) {
    if (const auto name = parse_reference(text))
        if (auto descriptor = store.resolve(*name)) return std::move(*descriptor);
    const auto images = images_with_id(store, text);
    if (images.empty()) return require_image(store, text).descriptor;  // says what is wrong
    const auto& image = images.front();
    const auto digits = text.substr(text.starts_with("sha256:") ? 7 : 0);
    const bool whole = image.index && image.index->digest.hex().starts_with(digits);
    return whole ? *image.index : image.descriptor;
}

int run(const Flags& flags, Workspace& workspace) {
    const auto target = oci::Reference::parse(flags.target);
    if (target.digest)
        fail(ErrorKind::Invalid, "a name with a digest cannot be given: " + flags.target);
    auto& store = workspace.store();
    store.tag(target, find_source(store, flags.source));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "SRC", flags->source, "Name or ID of an image of the store"));
    required(add_argument(app, "DST", flags->target, "The name to give; moved if it exists"));
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
