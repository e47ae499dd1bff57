// Archives: an OCI layout as a tar or a directory. With type=docker it also holds what older
// versions of `docker load` read.
#include "archive_parts.hpp"
#include "export.hpp"

namespace shale::build {
namespace {

void add_image(std::vector<Part>& parts, store::Store& store, const FinalImage& image) {
    for (std::size_t i = 0; i < image.layers.size(); ++i)
        parts.push_back(layer_part(store, image.manifest.layers[i], image.layers[i]));
    parts.push_back(text_part(blob_name(image.manifest.config.digest), image.config_json));
    parts.push_back(text_part(blob_name(image.descriptor.digest), image.manifest_json));
    if (!image.attestation) return;
    const auto& attestation = *image.attestation;
    for (std::size_t i = 0; i < attestation.statements.size(); ++i)
        parts.push_back(
            text_part(blob_name(attestation.manifest.layers[i].digest), attestation.statements[i]));
    parts.push_back(
        text_part(blob_name(attestation.manifest.config.digest), attestation.config_json));
    parts.push_back(text_part(blob_name(attestation.descriptor.digest), attestation.manifest_json));
}

}  // namespace

void write_archive(Session& session, const Output& output, const FinalResult& result,
                   const std::vector<oci::Reference>& names) {
    std::vector<Part> parts;
    for (const auto& image : result.images)
        add_image(parts, session.services.store, image);
    if (result.is_index())
        parts.push_back(text_part(blob_name(result.descriptor.digest), result.index_json));
    parts.push_back(layout_index({{result.descriptor, names}}));
    if (output.type == OutputType::Docker)
        parts.push_back(docker_list({{result.preferred().manifest, names}}));
    parts.push_back(layout_version());
    if (output.as_directory)
        write_parts_to_directory(parts, output.destination, session.stop);
    else
        write_result(output.destination,
                     [&](const codec::Sink& sink) { write_parts(parts, sink, session.stop); });
}

}  // namespace shale::build
