// Statements about results, as in-toto has them: something is said (the predicate) of something
// that is named by its digest (the subjects). Where they are kept is docs/formats/attestation.md.
#pragma once

#include <shale/oci.hpp>

#include <string>
#include <vector>

namespace shale::build {

struct Built;
struct FinalImage;
struct Output;

inline constexpr std::string_view kProvenanceV1 = "https://slsa.dev/provenance/v1";
inline constexpr std::string_view kProvenanceV02 = "https://slsa.dev/provenance/v0.2";
inline constexpr std::string_view kSpdx = "https://spdx.dev/Document";
// Of one file that a scanner wrote.
inline constexpr std::uint64_t kMaxStatementBytes = 40u << 20;

struct Predicate {
    std::string type;
    std::string json;
    std::string filename;      // among the files of a local output
    bool inline_only = false;  // not there
};

struct Subject {
    std::string name;
    Digest digest;
};

// A JSON document.
std::string statement(const Predicate& predicate, const std::vector<Subject>& subjects);

// "pkg:docker/NAME@TAG?digest=...&platform=..."; `type` is docker or oci.
std::string package_url(std::string_view type, const oci::Reference& name,
                        const oci::Platform& platform);

// What goes beside an image in its index.
struct AttestationManifest {
    std::vector<std::string> statements;  // the layers
    oci::Manifest manifest;
    std::string manifest_json, config_json;
    oci::Descriptor descriptor;  // of the manifest
};
// `as_artifact`: with a subject and an empty config, otherwise as if it were an image.
AttestationManifest attest(const FinalImage& image, const std::vector<Predicate>& predicates,
                           const std::vector<Subject>& subjects, bool as_artifact);

// Everything that the request wants to be said about this result. Provenance names the layers of
// `image`, if there is one.
std::vector<Predicate> predicates_of(const Built& build, const FinalImage* image);

// Runs the scanner of --sbom over every result and notes what it found.
void scan_results(std::vector<Built>& builds);

}  // namespace shale::build
