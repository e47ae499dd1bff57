// build_options: what the longer flags of a build say, as values: where its cache comes from and
// goes to, and what is attested about its result. The second door of build, so that the first stays
// about building.
//
// Each parse_* function reads one argument of a flag, a CSV record of key=value pairs, and throws
// Invalid for what makes no sense, Unsupported for what BuildKit has and this program has not.
#pragma once

#include <shale/base.hpp>
#include <shale/layer_form.hpp>
#include <shale/oci.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

struct KeyValue {
    std::string key;
    std::string value;
};

// The fields of such an argument. `flag` ("--output") begins every complaint. Invalid for a field
// without '=' or an open quote.
std::vector<KeyValue> split_options(std::string_view flag, std::string_view text);

// ---------------------------------------------------------------------------------------------
// Caches of other machines; the format is docs/formats/cache.md.

// One --cache-from: an image of a registry or of an OCI layout.
struct CacheSource {
    oci::Reference name;    // with a directory: tag and digest alone count
    std::string directory;  // an OCI layout; empty: a registry
    std::string str() const;
};
// "type=registry,ref=NAME", "type=local,src=DIR[,tag=TAG][,digest=DIGEST]", or NAME alone.
CacheSource parse_cache_source(std::string_view text);

// One --cache-to.
struct CacheTarget {
    enum class Kind { Inline, Registry, Local };
    Kind kind = Kind::Registry;
    oci::Reference name;     // of a registry; with a directory only the tag counts
    std::string directory;   // of an OCI layout
    bool all_steps = false;  // mode=max: layers of every step, not only of the result's
    std::optional<layer::Form> compression;  // nullopt: as they are
    std::optional<int> compression_level;
    bool ignore_error = false;
    bool reset = false;  // of a layout: removes blobs that nothing refers to any more
    std::string str() const;
};
CacheTarget parse_cache_target(std::string_view text);

// ---------------------------------------------------------------------------------------------
// Statements about the result that go with it.

struct ProvenanceOptions {
    bool full = true;           // mode=max
    bool version_1 = true;      // of SLSA; else v0.2
    bool reproducible = false;  // what the user says about the build
    bool inline_only = false;   // not as a file of local and tar outputs
    std::string builder_id;
    std::string filename = "provenance.json";
};

struct SbomOptions {
    std::string generator;             // an image; empty: the built-in reader of package databases
    std::vector<KeyValue> parameters;  // for the generator
};

struct Attestations {
    std::optional<ProvenanceOptions> provenance;
    std::optional<SbomOptions> sbom;
    bool any() const { return provenance || sbom; }
};
// One --attest: "type=provenance|sbom[,disabled=true][,KEY=VALUE]..."; a later one of the same type
// replaces an earlier one.
void add_attestation(Attestations& attestations, std::string_view text);
// The shorthands --provenance and --sbom: a boolean, or the options without the type.
void add_attestation_of(Attestations& attestations, std::string_view type, std::string_view text);

}  // namespace shale::build
