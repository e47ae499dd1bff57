// shale inspect: the documents that make up an image.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"

#include <nlohmann/json.hpp>

#include <memory>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Flags {
    std::string reference, platform;
};

Json to_json(const oci::Descriptor& descriptor) {
    Json value = {{"mediaType", descriptor.media_type},
                  {"digest", descriptor.digest.str()},
                  {"size", descriptor.size}};
    if (descriptor.platform) value["platform"] = descriptor.platform->str();
    if (!descriptor.annotations.empty()) value["annotations"] = descriptor.annotations;
    return value;
}

int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    const auto platform = chosen_platform(flags.platform);
    const auto image = require_image(store, flags.reference, platform);
    announce_platform(image, platform);
    // The documents as they lie in the store, fields that shale does not know included.
    const auto manifest = store.read_document(image.descriptor.digest, oci::kMaxManifestBytes);
    const auto config = store.read_document(image.manifest.config.digest, oci::kMaxConfigBytes);
    Json value = {{"name", image.name ? Json(image.name->str()) : Json()},
                  {"id", image.manifest.config.digest.str()},
                  {"descriptor", to_json(image.descriptor)},
                  {"manifest", Json::parse(manifest)},
                  {"config", Json::parse(config)}};
    if (image.index)
        value["index"] = {{"descriptor", to_json(*image.index)},
                          {"document", Json::parse(store.read_document(image.index->digest,
                                                                       oci::kMaxManifestBytes))}};
    print_result(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "REF", flags->reference, "Name or ID of an image of the store"));
    add_platform_flag(app, flags->platform);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& inspect_command() {
    static const Command command = {
        .name = "inspect",
        .group = "Images",
        .summary = "Print manifest and configuration of an image as JSON",
        .usage = "[OPTIONS] REF",
        .details = "Prints one object with the members name, id, descriptor, manifest and config; "
                   "the last two are the documents of the image, unchanged. Of an image for "
                   "several platforms it shows one, and the member index has the index.",
        .examples = {{"shale inspect app:prod", "Everything about an image"},
                     {"shale inspect app:prod | jq .config.config.Env", "Its environment"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
