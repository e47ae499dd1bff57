#include "attested.hpp"

namespace shale::cli {

namespace {

constexpr std::string_view kInTotoMedia = "application/vnd.in-toto+json";
constexpr const char* kReference = "vnd.docker.reference.digest";
constexpr std::uint64_t kMaxStatementBytes = 40u << 20;

void append_statements(store::Store& store, const oci::Descriptor& child, const Attested& about,
                       std::vector<Attested>& out) {
    const auto manifest =
        oci::decode_manifest(store.read_document(child.digest, oci::kMaxManifestBytes));
    for (const auto& layer : manifest.layers) {
        if (layer.media_type != kInTotoMedia) continue;
        auto attested = about;
        attested.statement = layer.digest;
        attested.json = store.read_document(layer.digest, kMaxStatementBytes);
        const auto document = oci::Json::parse(attested.json, "statement");
        if (const auto type = document.find("predicateType"))
            attested.predicate_type = type->string();
        out.push_back(std::move(attested));
    }
}

}  // namespace

std::vector<Attested> attested_of(store::Store& store, const oci::Descriptor& descriptor) {
    const auto json = store.read_document(descriptor.digest, oci::kMaxManifestBytes);
    if (!oci::is_index(json)) return {};
    const auto index = oci::decode_index(json);
    std::vector<Attested> out;
    for (const auto& child : index.manifests) {
        if (!oci::is_attestation(child)) continue;
        try {
            Attested about;
            const auto reference = child.annotations.find(kReference);
            if (reference == child.annotations.end()) continue;
            about.image = Digest::parse(reference->second);
            for (const auto& image : index.manifests)
                if (image.digest == about.image && image.platform) about.platform = *image.platform;
            append_statements(store, child, about, out);
        } catch (const Error& error) {
            log(LogLevel::Warn, "attestation " + child.digest.str() + ": " + error.what());
        }
    }
    return out;
}

bool says_making(const Attested& attested) {
    return attested.predicate_type.starts_with("https://slsa.dev/provenance/");
}

bool says_contents(const Attested& attested) {
    return attested.predicate_type == "https://spdx.dev/Document";
}

}  // namespace shale::cli
