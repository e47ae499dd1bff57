// shale inspect: the documents that make up an image, and what is attested about it.
#include "attested.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "json_text.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Flags {
    std::string reference, platform, format = "json";
};

Json to_json(const oci::Descriptor& descriptor) {
    Json value = {{"mediaType", descriptor.media_type},
                  {"digest", descriptor.digest.str()},
                  {"size", descriptor.size}};
    if (descriptor.platform) value["platform"] = descriptor.platform->str();
    if (!descriptor.annotations.empty()) value["annotations"] = descriptor.annotations;
    return value;
}

void print_json(const Json& value) {
    print_result(json_text(value));
}

Json to_json(const Attested& attested) {
    return {{"platform", attested.platform.str()},
            {"reference", attested.image.str()},
            {"digest", attested.statement.str()},
            {"predicateType", attested.predicate_type},
            {"statement", Json::parse(attested.json)}};
}

// What is said in this way: of the only platform by itself, else by platform. Several scans of one
// platform are a list.
Json predicates(const std::vector<Attested>& all, bool (*is_wanted)(const Attested&)) {
    Json by_platform = Json::object();
    for (const auto& attested : all) {
        if (!is_wanted(attested)) continue;
        auto& place = by_platform[attested.platform.str()];
        const auto predicate = Json::parse(attested.json).value("predicate", Json());
        if (place.is_null())
            place = predicate;
        else if (place.is_array())
            place.push_back(predicate);
        else
            place = Json::array({std::exchange(place, Json()), predicate});
    }
    return by_platform.size() == 1 ? by_platform.front() : by_platform;
}

int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    const auto platform = chosen_platform(flags.platform);
    const auto image = described_image(workspace, flags.reference, platform);
    announce_platform(image, platform);
    auto attested = attested_of(store, image.named());
    if (platform)
        std::erase_if(attested,
                      [&](const Attested& one) { return one.image != image.descriptor.digest; });
    if (flags.format != "json") {
        const bool is_sbom = flags.format == "sbom";
        const auto found = predicates(attested, is_sbom ? says_contents : says_making);
        if (found.empty())
            fail(ErrorKind::NotFound, flags.reference + " has no " + flags.format +
                                          "; `shale build --" + flags.format +
                                          " true` makes an image that has");
        print_json(found);
        return kOk;
    }
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
    for (const auto& one : attested)
        value["attestations"].push_back(to_json(one));
    print_json(value);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "REF", flags->reference,
                          "Name or ID of an image of the store, or docker://NAME"));
    add_platform_flag(app, flags->platform);
    add_value(app, "--format", flags->format, "json|provenance|sbom",
              "Everything (default), or only what is attested: how it was made, what is in it");
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
                   "several platforms it shows one, and the member index has the index. Statements "
                   "that are attached to images are the member attestations.\n\n"
                   "docker://NAME asks the registry, and leaves the layers there. oci:DIR[:TAG], "
                   "oci-archive:FILE[:TAG] and docker-archive:FILE[:NAME] are taken, too.",
        .examples = {{"shale inspect app:prod", "Everything about an image"},
                     {"shale inspect app:prod | jq .config.config.Env", "Its environment"},
                     {"shale inspect docker://alpine", "The same of an image that is not here"},
                     {"shale inspect --format sbom app:prod | jq -r '.packages[].name'",
                      "Which packages are in it"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
