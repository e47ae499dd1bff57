// From the state of the target stage to what the user asked for: an image in the store, an archive,
// a directory, a tar of the root file system.
#pragma once

#include "session.hpp"
#include "stage.hpp"

#include <string>

namespace shale::build {

// The image's config and history, ready to be encoded once the diff IDs are known.
oci::ImageConfig final_config(const Session& session, const StageState& state);

// Performs every output of the request. Nothing becomes visible before all layers exist: tags move
// and files appear last.
Result export_outputs(Session& session, const StageState& state, const std::string& stage_name);

// --- private to the exporters -------------------------------------------------------------------

struct FinalImage {
    oci::Manifest manifest;
    std::string manifest_json, config_json;
    oci::Descriptor descriptor;  // of the manifest
    std::vector<Digest> diff_ids;
};

// A layer of the store in another compression; remembered in the step cache.
oci::Descriptor recompress(Session& session, const oci::Descriptor& layer, const Digest& diff_id,
                           oci::Compression compression, std::optional<int> level);

// Writes an OCI layout (or a `docker load` archive) of the image to output.destination.
void write_archive(Session& session, const Output& output, const FinalImage& image,
                   const std::vector<oci::Reference>& names);
void write_tree(Session& session, const Output& output, Root& root);

}  // namespace shale::build
