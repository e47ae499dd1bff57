// Manifests and indexes, in their OCI and Docker schema 2 forms, which differ in nothing but names.
//
// What a document is, is decided by its members: a document with both "layers" and "manifests"
// would be a manifest to one reader and an index to another, so it is neither to us.
#include "json.hpp"

namespace shale::oci {
namespace {

using nlohmann::json;

constexpr std::int64_t kSchemaVersion = 2;

enum class DocumentType { Manifest, Index };

DocumentType type_of(const Json& document) {
    const bool has_layers = document.find("layers") || document.find("config");
    const bool has_manifests = document.find("manifests").has_value();
    if (has_layers && has_manifests)
        document.corrupt("both a manifest and an index, which is ambiguous");
    if (document.find("fsLayers"))
        fail(ErrorKind::Unsupported, "Docker schema 1 manifests are not supported");
    const std::string media_type = string_at(document, "mediaType");
    const bool says_index = media_type == media::kIndex || media_type == media::kDockerIndex;
    const bool says_manifest =
        media_type == media::kManifest || media_type == media::kDockerManifest;
    if ((has_layers && says_index) || (has_manifests && says_manifest))
        document.corrupt("contradicts its own mediaType " + media_type);
    return has_manifests || says_index ? DocumentType::Index : DocumentType::Manifest;
}

Json parse_document(std::string_view text, std::string_view what) {
    if (text.size() > kMaxManifestBytes)
        fail(ErrorKind::Corrupt,
             std::string(what) + ": larger than " + format_size(kMaxManifestBytes));
    return Json::parse(text, what);
}

void check_schema_version(const Json& document) {
    const auto version = required(document, "schemaVersion");
    if (version.integer() == 1)
        fail(ErrorKind::Unsupported, "Docker schema 1 manifests are not supported");
    if (version.integer() != kSchemaVersion) version.corrupt("not 2");
}

Platform decode_platform(const Json& value) {
    return {string_at(value, "os"), string_at(value, "architecture"), string_at(value, "variant")};
}

Descriptor decode_descriptor(const Json& value) {
    Descriptor out;
    out.media_type = string_at(value, "mediaType");
    out.digest = digest_of(required(value, "digest"));
    const auto size = required(value, "size");
    if (size.integer() < 0) size.corrupt("negative");
    out.size = static_cast<std::uint64_t>(size.integer());
    out.annotations = string_map_at(value, "annotations");
    if (const auto platform = value.find("platform")) out.platform = decode_platform(*platform);
    out.urls = strings_at(value, "urls");
    out.artifact_type = string_at(value, "artifactType");
    out.data = string_at(value, "data");
    return out;
}

std::vector<Descriptor> decode_descriptors(const Json& document, const std::string& name) {
    std::vector<Descriptor> out;
    if (const auto list = document.find(name))
        for (const auto& item : list->items())
            out.push_back(decode_descriptor(item));
    return out;
}

json encode_descriptor(const Descriptor& descriptor) {
    json out{{"mediaType", descriptor.media_type},
             {"digest", descriptor.digest.str()},
             {"size", descriptor.size}};
    if (!descriptor.annotations.empty()) out["annotations"] = descriptor.annotations;
    if (!descriptor.urls.empty()) out["urls"] = descriptor.urls;
    if (!descriptor.artifact_type.empty()) out["artifactType"] = descriptor.artifact_type;
    if (!descriptor.data.empty()) out["data"] = descriptor.data;
    if (const auto& platform = descriptor.platform) {
        out["platform"] = {{"os", platform->os}, {"architecture", platform->architecture}};
        if (!platform->variant.empty()) out["platform"]["variant"] = platform->variant;
    }
    return out;
}

json encode_descriptors(const std::vector<Descriptor>& descriptors) {
    json out = json::array();
    for (const auto& descriptor : descriptors)
        out.push_back(encode_descriptor(descriptor));
    return out;
}

}  // namespace

std::string encode(const Manifest& manifest) {
    json out{{"schemaVersion", kSchemaVersion},
             {"mediaType", manifest.media_type},
             {"config", encode_descriptor(manifest.config)},
             {"layers", encode_descriptors(manifest.layers)}};
    if (!manifest.annotations.empty()) out["annotations"] = manifest.annotations;
    if (!manifest.artifact_type.empty()) out["artifactType"] = manifest.artifact_type;
    if (manifest.subject) out["subject"] = encode_descriptor(*manifest.subject);
    return dump_text(out);
}

std::string encode(const Index& index) {
    json out{{"schemaVersion", kSchemaVersion},
             {"mediaType", index.media_type},
             {"manifests", encode_descriptors(index.manifests)}};
    if (!index.annotations.empty()) out["annotations"] = index.annotations;
    return dump_text(out);
}

Manifest decode_manifest(std::string_view text) {
    const Json document = parse_document(text, "manifest");
    if (type_of(document) != DocumentType::Manifest) document.corrupt("this is an index");
    check_schema_version(document);
    Manifest out;
    out.config = decode_descriptor(required(document, "config"));
    out.layers = decode_descriptors(document, "layers");
    out.annotations = string_map_at(document, "annotations");
    out.artifact_type = string_at(document, "artifactType");
    if (const auto subject = document.find("subject")) out.subject = decode_descriptor(*subject);
    if (auto media_type = string_at(document, "mediaType"); !media_type.empty())
        out.media_type = std::move(media_type);
    else if (out.config.media_type == media::kDockerConfig)
        out.media_type = media::kDockerManifest;
    if (out.media_type != media::kManifest && out.media_type != media::kDockerManifest)
        fail(ErrorKind::Unsupported, "unsupported manifest media type: " + out.media_type);
    return out;
}

Index decode_index(std::string_view text) {
    const Json document = parse_document(text, "index");
    if (type_of(document) != DocumentType::Index) document.corrupt("this is a manifest");
    check_schema_version(document);
    Index out;
    out.manifests = decode_descriptors(document, "manifests");
    out.annotations = string_map_at(document, "annotations");
    if (auto media_type = string_at(document, "mediaType"); !media_type.empty())
        out.media_type = std::move(media_type);
    if (out.media_type != media::kIndex && out.media_type != media::kDockerIndex)
        fail(ErrorKind::Unsupported, "unsupported index media type: " + out.media_type);
    return out;
}

bool is_index(std::string_view text) {
    return type_of(parse_document(text, "manifest")) == DocumentType::Index;
}

}  // namespace shale::oci
