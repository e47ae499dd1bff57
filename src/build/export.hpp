// From the state of the target stage, for each platform, to what the user asked for: an image in
// the store or a registry, an archive, a directory, a tar of the root file system.
#pragma once

#include "attestation.hpp"
#include "layer_forms.hpp"
#include "session.hpp"
#include "stage.hpp"

#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// The target as one platform has it.
struct Built {
    Session& session;
    const StageState& state;
    Stages& stages;
    const std::vector<std::uint32_t>& reached;  // stages, the target among them
    std::uint32_t target = 0;
    // What a scan found, as predicates; the same for every output.
    std::vector<Predicate> sbom{};
};

// Performs every output of the request. Nothing becomes visible before all layers exist: tags move
// and files appear last. `as_index`: the result is an index, and trees are split by platform.
Result export_outputs(const std::vector<Built>& builds, const std::string& stage_name,
                      bool as_index);

// --- private to the exporters -------------------------------------------------------------------

// The image's config and history, ready to be encoded once the diff IDs are known. No moment of
// this build's own is later than `epoch` (in seconds).
oci::ImageConfig final_config(const Session& session, const StageState& state,
                              std::optional<std::int64_t> epoch);

// True if layers that the registry has are not needed here.
bool is_only_pushed(const Output& output);

std::optional<std::int64_t> epoch_of(const Session& session, const Output& output);

struct FinalImage {
    std::vector<FormedLayer> layers;  // as they lie in the store
    oci::Manifest manifest;           // its layers are those, or their plain tars
    std::string manifest_json, config_json;
    oci::Descriptor descriptor;  // of the manifest
    std::optional<std::int64_t> created_ns;
    std::optional<AttestationManifest> attestation;
};

struct FinalResult {
    std::vector<FinalImage> images;  // one for each platform
    std::string index_json;          // empty: the only image stands for itself, unattested
    oci::Descriptor descriptor;      // of the index, or of that image

    bool is_index() const { return !index_json.empty(); }
    // The one that this machine would run, else the first.
    const FinalImage& preferred() const;
};

// `as_plain_tars`: manifests name layers that are not compressed, whatever lies in the store.
FinalResult make_result(const std::vector<Built>& builds, const Output& output, bool as_index,
                        bool as_plain_tars);

// Into the store, under its names, and to registries. Returns the full names it has got.
std::vector<std::string> export_image(const std::vector<Built>& builds, const Output& output,
                                      const std::string& stage_name, const FinalResult& result);

std::vector<oci::Reference> names_of(const Session& session, const Output& output);

// Writes an OCI layout or a `docker load` archive to output.destination.
void write_archive(Session& session, const Output& output, const FinalResult& result,
                   const std::vector<oci::Reference>& names);
void write_tree(const std::vector<Built>& builds, const Output& output, bool as_index);

}  // namespace shale::build
