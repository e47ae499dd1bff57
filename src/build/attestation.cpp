// Statements, and the manifests that carry them. The forms are BuildKit's, so that every tool that
// finds its attestations finds ours (docs/formats/attestation.md).
#include "attestation.hpp"

#include "export.hpp"

#include <shale/codec.hpp>

#include <nlohmann/json.hpp>

namespace shale::build {
namespace {

using nlohmann::json;

constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kInTotoMedia = "application/vnd.in-toto+json";
constexpr std::string_view kArtifactType = "application/vnd.docker.attestation.manifest.v1+json";
constexpr std::string_view kEmptyMedia = "application/vnd.oci.empty.v1+json";
constexpr const char* kEmptyJson = "{}";

// As purl-spec 1.0 has it, but that a ':' and a '/' are encoded in qualifiers, as others do it.
std::string percent_encoded(std::string_view text, std::string_view plain) {
    std::string out;
    constexpr char kHex[] = "0123456789ABCDEF";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || plain.find(c) != std::string_view::npos;
        if (is_plain) {
            out += c;
            continue;
        }
        out += '%';
        out += kHex[byte >> 4];
        out += kHex[byte & 15];
    }
    return out;
}

oci::Descriptor describe(std::string_view media_type, const std::string& document) {
    oci::Descriptor descriptor;
    descriptor.media_type = media_type;
    descriptor.digest = codec::sha256(document);
    descriptor.size = document.size();
    return descriptor;
}

// A config that says as little as one can.
std::string image_config(const std::vector<oci::Descriptor>& layers) {
    oci::ImageConfig config;
    config.platform = {"unknown", "unknown", {}};
    for (const auto& layer : layers)
        config.diff_ids.push_back(layer.digest);
    return oci::encode(config);
}

}  // namespace

std::string statement(const Predicate& predicate, const std::vector<Subject>& subjects) {
    json list = json::array();
    for (const auto& subject : subjects)
        list.push_back({{"name", subject.name}, {"digest", {{"sha256", subject.digest.hex()}}}});
    const json document{{"_type", kStatementType},
                        {"predicateType", predicate.type},
                        {"subject", std::move(list)},
                        {"predicate", json::parse(predicate.json)}};
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string package_url(std::string_view type, const oci::Reference& name,
                        const oci::Platform& platform) {
    auto bare = name;
    bare.tag.clear();
    bare.digest = Digest{};
    auto path = bare.familiar();
    path.resize(path.find('@'));
    std::string out = "pkg:" + std::string(type) + "/" + percent_encoded(path, "-._~/:");
    if (!name.tag.empty()) out += "@" + percent_encoded(name.tag, "-._~");
    char separator = '?';
    const auto add = [&](std::string_view key, std::string_view value) {
        out += separator;
        out += std::string(key) + "=" + percent_encoded(value, "-._~:");
        separator = '&';
    };
    if (name.digest) add("digest", name.digest->str());
    add("platform", platform.normalized().str());
    return out;
}

AttestationManifest attest(const FinalImage& image, const std::vector<Predicate>& predicates,
                           const std::vector<Subject>& subjects, bool as_artifact) {
    AttestationManifest made;
    for (const auto& predicate : predicates) {
        made.statements.push_back(statement(predicate, subjects));
        made.manifest.layers.push_back(describe(kInTotoMedia, made.statements.back()));
        made.manifest.layers.back().annotations["in-toto.io/predicate-type"] = predicate.type;
    }
    if (as_artifact) {
        made.config_json = kEmptyJson;
        made.manifest.config = describe(kEmptyMedia, made.config_json);
        made.manifest.config.data = "e30=";
        made.manifest.artifact_type = kArtifactType;
        oci::Descriptor subject;
        subject.media_type = image.descriptor.media_type;
        subject.digest = image.descriptor.digest;
        subject.size = image.descriptor.size;
        made.manifest.subject = std::move(subject);
    } else {
        made.config_json = image_config(made.manifest.layers);
        made.manifest.config = describe(oci::media::kConfig, made.config_json);
    }
    made.manifest_json = oci::encode(made.manifest);
    made.descriptor = describe(oci::media::kManifest, made.manifest_json);
    made.descriptor.annotations["vnd.docker.reference.type"] = "attestation-manifest";
    made.descriptor.annotations["vnd.docker.reference.digest"] = image.descriptor.digest.str();
    made.descriptor.platform = oci::Platform{"unknown", "unknown", {}};
    return made;
}

}  // namespace shale::build
