// How a result was made, in the words of SLSA. The document is made in the form of version 1; the
// older one is a rearrangement of it. docs/formats/attestation.md says what each member means here.
//
// In the small form there is nothing that whoever builds may not want to tell: no arguments, no
// commands, no text of the Dockerfile. Values of secrets are in neither.
#include "attestation.hpp"
#include "export.hpp"
#include "key.hpp"

#include <shale/remote.hpp>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <map>

namespace shale::build {
namespace {

using nlohmann::json;

constexpr const char* kBuildType = "https://shale.dev/build-definition/dockerfile/v1";

json digest_set(const std::map<std::string, std::string>& digest) {
    json out = json::object();
    for (const auto& [algorithm, hex] : digest)
        out[algorithm] = hex;
    return out;
}

json resource(const Material& material) {
    return {{"uri", material.uri}, {"digest", digest_set(material.digest)}};
}

json grants(const std::set<GrantFact>& facts) {
    json out = json::array();
    for (const auto& fact : facts) {
        json grant{{"id", fact.id}};
        if (!fact.required) grant["optional"] = true;
        out.push_back(std::move(grant));
    }
    return out;
}

json descriptor_json(const oci::Descriptor& descriptor) {
    return {{"mediaType", descriptor.media_type},
            {"digest", descriptor.digest.str()},
            {"size", descriptor.size}};
}

// The document for one result.
class Provenance {
  public:
    Provenance(const Built& build, const FinalImage* image, const ProvenanceOptions& options)
        : build_(build), session_(build.session), image_(image), options_(options),
          facts_(session_.facts.all()) {
        number_steps();
    }

    json version_1() const {
        json definition{
            {"buildType", kBuildType},
            {"externalParameters", external_parameters()},
            {"internalParameters", {{"builderPlatform", oci::Platform::host().normalized().str()}}},
            {"resolvedDependencies", materials()}};
        if (options_.full) definition["internalParameters"]["buildConfig"] = graph();
        return {
            {"buildDefinition", std::move(definition)},
            {"runDetails", {{"builder", {{"id", options_.builder_id}}}, {"metadata", metadata()}}}};
    }

    json version_02() const {
        const auto newer = version_1();
        const auto& definition = newer["buildDefinition"];
        const auto& metadata = newer["runDetails"]["metadata"];
        auto source = definition["externalParameters"]["configSource"];
        if (source.contains("path")) {
            source["entryPoint"] = source["path"];
            source.erase("path");
        }
        json older{
            {"builder", newer["runDetails"]["builder"]},
            {"buildType", definition["buildType"]},
            {"materials", definition["resolvedDependencies"]},
            {"invocation",
             {{"configSource", std::move(source)},
              {"parameters", definition["externalParameters"]["request"]},
              {"environment",
               {{"platform", definition["internalParameters"]["builderPlatform"]}}}}},
            {"metadata",
             {{"completeness",
               {{"parameters", metadata["buildkit_completeness"]["request"]},
                {"environment", true},
                {"materials", metadata["buildkit_completeness"]["resolvedDependencies"]}}},
              {"reproducible", metadata["buildkit_reproducible"]},
              {"https://mobyproject.org/buildkit@v1#hermetic", metadata["buildkit_hermetic"]},
              {"https://mobyproject.org/buildkit@v1#metadata", metadata["buildkit_metadata"]}}}};
        if (options_.full) older["buildConfig"] = definition["internalParameters"]["buildConfig"];
        for (const auto& [from, to] : {std::pair{"invocationId", "buildInvocationID"},
                                       {"startedOn", "buildStartedOn"},
                                       {"finishedOn", "buildFinishedOn"}})
            if (metadata.contains(from)) older["metadata"][to] = metadata[from];
        return older;
    }

  private:
    // Roots that steps are made from have numbers: what came from elsewhere first, then the steps.
    void number_steps() {
        std::size_t next = 0;
        const auto number = [&](const Digest& root) {
            if (numbers_.try_emplace(root, next).second) ++next;
        };
        for (const auto& [material, root] : facts_.materials)
            if (root) number(*root);
        for (const auto& [name, root] : facts_.locals)
            number(root);
        for (const auto& step : facts_.steps)
            number(step.result);
    }

    std::string id(const Digest& root) const { return "step" + std::to_string(numbers_.at(root)); }

    json external_parameters() const {
        json request{{"frontend", "dockerfile.v0"}, {"args", arguments()}};
        json locals = json::array();
        const bool has_context = !session_.context.source().root;
        if (has_context) locals = {{{"name", "context"}}, {{"name", "dockerfile"}}};
        for (const auto& [name, root] : facts_.locals)
            if (name != "context" || !has_context) locals.push_back({{"name", name}});
        if (!locals.empty()) request["locals"] = std::move(locals);
        if (options_.full && !facts_.secrets.empty()) request["secrets"] = grants(facts_.secrets);
        if (options_.full && !facts_.ssh.empty()) request["ssh"] = grants(facts_.ssh);
        json source = json::object();
        if (const auto& material = session_.context.source().material) source = resource(*material);
        source["path"] = session_.file.name;
        return {{"configSource", std::move(source)}, {"request", std::move(request)}};
    }

    json arguments() const {
        const auto& request = session_.request;
        json out = json::object();
        if (!request.target.empty()) out["target"] = request.target;
        if (request.no_cache) out["no-cache"] = "";
        if (!options_.full) return out;
        for (const auto& [key, value] : request.build_args)
            out["build-arg:" + key] = value;
        for (const auto& [key, value] : request.labels)
            out["label:" + key] = value;
        return out;
    }

    json materials() const {
        json out = json::array();
        for (const auto& [material, root] : facts_.materials)
            out.push_back(resource(material));
        return out;
    }

    json metadata() const {
        const auto& request = session_.request;
        // What lies on this machine has no name that would mean anything to others.
        const bool knows_all = facts_.locals.empty() && session_.definition_path.empty() &&
                               session_.context.source().material.has_value();
        const bool has_arguments = !request.build_args.empty() || !request.labels.empty();
        json out{
            {"buildkit_completeness",
             {{"request", options_.full || !has_arguments}, {"resolvedDependencies", knows_all}}},
            {"buildkit_hermetic", knows_all && !facts_.used_network},
            {"buildkit_reproducible", options_.reproducible},
            {"buildkit_metadata", json::object()}};
        if (options_.full) {
            out["buildkit_metadata"]["source"] = source_map();
            if (image_) out["buildkit_metadata"]["layers"] = layers();
        }
        const auto started = session_.shared.started_ns;
        if (const auto epoch = request.source_date_epoch) {
            // Who sets the clock wants the same bytes again; there is one moment then, and no name.
            out["startedOn"] = out["finishedOn"] = format_rfc3339(*epoch * kNsPerSecond);
            return out;
        }
        out["startedOn"] = format_rfc3339(started);
        out["finishedOn"] = format_rfc3339(system_clock().now_ns());
        out["invocationId"] = Key("invocation")
                                  .add("started", static_cast<std::uint64_t>(started))
                                  .add("process", static_cast<std::uint64_t>(::getpid()))
                                  .finish()
                                  .hex()
                                  .substr(0, 32);
        return out;
    }

    json graph() const {
        json steps = json::array();
        for (const auto& [material, root] : facts_.materials)
            if (root)
                steps.push_back({{"id", id(*root)}, {"op", {{"source", resource(material)}}}});
        for (const auto& [name, root] : facts_.locals)
            steps.push_back({{"id", id(root)}, {"op", {{"source", {{"uri", "local://" + name}}}}}});
        for (const auto& step : facts_.steps)
            steps.push_back(step_json(step));
        return {{"steps", std::move(steps)}};
    }

    json step_json(const StepFact& step) const {
        json out{{"id", id(step.result)}};
        json inputs = json::array();
        for (const auto& input : step.inputs)
            if (numbers_.contains(input)) inputs.push_back(id(input));  // else the empty root
        if (!inputs.empty()) out["inputs"] = std::move(inputs);
        if (!step.instruction.empty()) out["instruction"] = step.instruction;
        if (const auto& command = step.command)
            out["op"]["exec"] = {{"args", command->argv},
                                 {"env", command->env},
                                 {"cwd", command->cwd},
                                 {"user", command->user},
                                 {"network", command->network}};
        else
            out["op"][step.instruction.empty() ? "merge" : "file"] = json::object();
        return out;
    }

    json source_map() const {
        json locations = json::object();
        for (const auto& step : facts_.steps) {
            json places = json::array();
            for (const auto& lines : step.lines)
                places.push_back(
                    {{"ranges",
                      {{{"start", {{"line", lines.first}}}, {"end", {{"line", lines.last}}}}}}});
            if (!step.instruction.empty())
                locations[id(step.result)] = {{"locations", std::move(places)}};
        }
        std::string text;
        for (const auto& line : session_.file.source)
            text += (text.empty() && &line == &session_.file.source.front() ? "" : "\n") + line;
        return {{"locations", std::move(locations)},
                {"infos",
                 {{{"filename", session_.file.name},
                   {"language", "Dockerfile"},
                   {"data", remote::encode_base64(text)}}}}};
    }

    // Layers of the image by the step that made them; those of a base by what it came from.
    json layers() const {
        std::map<const LayerSlot*, const Digest*> makers;
        for (const auto& step : facts_.steps)
            if (step.layer) makers.try_emplace(step.layer.get(), &step.result);
        json out = json::object();
        const auto& slots = build_.state.layers;
        for (std::size_t i = 0; i < slots.size() && i < image_->manifest.layers.size(); ++i) {
            const auto maker = makers.find(slots[i].get());
            const auto& root = maker != makers.end() ? *maker->second : slots[i]->after->key();
            if (!numbers_.contains(root)) continue;
            out[id(root)].push_back(descriptor_json(image_->manifest.layers[i]));
        }
        return out;
    }

    const Built& build_;
    const Session& session_;
    const FinalImage* image_;
    const ProvenanceOptions& options_;
    AllFacts facts_;
    std::map<Digest, std::size_t> numbers_;
};

}  // namespace

std::vector<Predicate> predicates_of(const Built& build, const FinalImage* image) {
    auto predicates = build.sbom;
    const auto& options = build.session.request.attestations.provenance;
    if (!options) return predicates;
    const Provenance provenance(build, image, *options);
    const auto document = options->version_1 ? provenance.version_1() : provenance.version_02();
    Predicate predicate;
    predicate.type = options->version_1 ? kProvenanceV1 : kProvenanceV02;
    predicate.json = document.dump(-1, ' ', false, json::error_handler_t::replace);
    predicate.filename = options->filename;
    predicate.inline_only = options->inline_only;
    predicates.push_back(std::move(predicate));
    return predicates;
}

}  // namespace shale::build
