// The order in which outputs happen.
#include "export.hpp"

#include "step.hpp"

namespace shale::build {
namespace {

// Base layers that no step has read were never pulled. An image of the store needs them all; one
// that is only pushed needs those that the registry has not got.
void pull_missing_layers(const Built& build, const Output& output) {
    auto& services = build.session.services;
    const bool only_pushed = is_only_pushed(output);
    const auto names = names_of(build.session, output);
    for (const auto& slot : build.state.layers) {
        if (slot->before != nullptr || services.store.has_blob(slot->blob->digest)) continue;
        bool is_needed = !only_pushed;
        for (const auto& name : names)
            is_needed = is_needed || !services.images.is_pushed(name, slot->blob->digest);
        if (!is_needed) continue;
        slot->after->load();
        return;
    }
}

void note(Result& result, const FinalResult& made, std::vector<std::string> names, bool is_stored) {
    const bool known = !result.manifest.digest.is_zero();
    if (known && !is_stored) return;
    const auto& image = made.images.front();
    result.is_index = made.is_index();
    result.image_id = made.is_index() ? made.descriptor.digest : image.manifest.config.digest;
    result.manifest = made.descriptor;
    if (!made.is_index())
        result.manifest.annotations["config.digest"] = image.manifest.config.digest.str();
    result.names = std::move(names);
    result.created_ns = image.created_ns;
}

void export_as_image(const std::vector<Built>& builds, const Output& output,
                     const std::string& stage_name, bool as_index, VertexId vertex,
                     Result& result) {
    auto& session = builds.front().session;
    auto& progress = session.tracker.progress();
    if (output.rewrite_timestamp && !epoch_of(session, output))
        progress.warning("rewrite-timestamp is specified, but no source-date-epoch was found");
    for (const auto& build : builds)
        pull_missing_layers(build, output);
    // A docker archive carries its layers uncompressed unless told otherwise, as `docker save`
    // does: every docker version loads those, and they stream out of the store without a copy.
    const bool as_plain_tars =
        output.type == OutputType::Docker &&
        output.compression.value_or(layer::Form::Uncompressed) == layer::Form::Uncompressed;
    const auto made = make_result(builds, output, as_index, as_plain_tars);
    progress.status(vertex, "exporting layers", 0, 0);
    for (const auto& image : made.images)
        progress.status(vertex, "exporting manifest " + image.descriptor.digest.str(), 0, 0);
    for (const auto& image : made.images)
        if (image.attestation)
            progress.status(vertex,
                            "exporting attestation manifest " +
                                image.attestation->descriptor.digest.str(),
                            0, 0);
    if (made.is_index())
        progress.status(vertex, "exporting manifest list " + made.descriptor.digest.str(), 0, 0);
    std::vector<std::string> names;
    if (output.type == OutputType::Image) {
        names = export_image(builds, output, stage_name, made);
    } else {
        const auto references = names_of(session, output);
        write_archive(session, output, made, references);
        for (const auto& name : references)
            names.push_back(name.str());
    }
    for (const auto& name : names)
        progress.status(vertex, "naming to " + name, 0, 0);
    note(result, made, std::move(names), output.type == OutputType::Image);
}

}  // namespace

bool is_only_pushed(const Output& output) {
    return output.type == OutputType::Image && output.push && !output.keep &&
           !output.force_compression && !output.docker_types;
}

std::optional<std::int64_t> epoch_of(const Session& session, const Output& output) {
    return output.source_date_epoch ? output.source_date_epoch : session.request.source_date_epoch;
}

std::vector<oci::Reference> names_of(const Session& session, const Output& output) {
    auto names = session.request.tags;
    for (const auto& name : output.names)
        names.push_back(oci::Reference::parse(name));
    return names;
}

Result export_outputs(const std::vector<Built>& builds, const std::string& stage_name,
                      bool as_index) {
    auto& session = builds.front().session;
    Result result;
    auto outputs = session.request.outputs;
    if (outputs.empty()) outputs.emplace_back();
    for (const auto& output : outputs) {
        session.check_stop();
        if (output.type == OutputType::CacheOnly) continue;
        const bool is_local = output.type == OutputType::Local;
        if (is_local || output.type == OutputType::Tar) {
            session.tracker.run(is_local ? "exporting to client directory"
                                         : "exporting to client tarball",
                                [&](VertexId) {
                                    write_tree(builds, output, as_index);
                                    return Outcome::Done;
                                });
            continue;
        }
        session.tracker.run("exporting to image", [&](VertexId vertex) {
            export_as_image(builds, output, stage_name, as_index, vertex, result);
            return Outcome::Done;
        });
    }
    return result;
}

}  // namespace shale::build
