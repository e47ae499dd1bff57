// oci: the image formats as plain values: references, descriptors, manifests, indexes, configs.
//
// Encoding is deterministic (fixed key order); decoding accepts the OCI and the Docker schema 2
// forms, keeps unknown config fields, bounds every count, and reports Corrupt with what was wrong.
// The JSON library stays inside src/oci. Also home of BlobSource, the seam through which everything
// reads blobs without knowing where they live.
//
// Formats: OCI image-spec 1.1 (config.md, manifest.md, image-index.md, layer.md).
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::oci {

namespace media {
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayerTar = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerIndex =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayerTar = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
}  // namespace media

enum class Compression { None, Gzip, Zstd };
// nullopt if the media type is not one of a layer we can read.
std::optional<Compression> layer_compression(std::string_view media_type);
std::string_view layer_media_type(Compression compression);
std::string_view compression_name(Compression compression);  // uncompressed, gzip, zstd
// Invalid for an unknown name.
Compression parse_compression(std::string_view name);

// ---------------------------------------------------------------------------------------------
// References: "[domain/]path[:tag][@digest]" with Docker Hub's rules: `node` is
// docker.io/library/node:latest; the first component is a domain only if it has a '.' or ':' or an
// upper-case letter, or is "localhost". Grammar: distribution/reference.

struct Reference {
    std::string domain;      // docker.io
    std::string repository;  // library/node
    std::string tag;         // empty only if a digest was given without a tag
    std::optional<Digest> digest;

    // Invalid: `invalid reference format: "A:B:C"`.
    static Reference parse(std::string_view text);
    std::string str() const;       // docker.io/library/node:18
    std::string familiar() const;  // node:18
    bool operator==(const Reference&) const = default;
};

// ---------------------------------------------------------------------------------------------

struct Platform {
    std::string os = "linux";
    std::string architecture;
    std::string variant;
    static Platform host();
    // "linux/arm64/v8", "arm64", "x86_64"; normalised. Invalid, quoting the text, if it is none.
    static Platform parse(std::string_view text);
    // Lower case, Go's names (x86_64 -> amd64, aarch64 -> arm64, armhf -> arm/v7), and without the
    // variant that the architecture implies (arm64/v8 -> arm64), except that arm means arm/v7.
    // Decoded documents keep their spelling; normalise before comparing.
    Platform normalized() const;
    std::string str() const;
    bool operator==(const Platform&) const = default;
};

using Annotations = std::map<std::string, std::string>;

struct Descriptor {
    std::string media_type;
    Digest digest;
    std::uint64_t size = 0;
    Annotations annotations;
    std::optional<Platform> platform;
    std::vector<std::string> urls{};
    std::string artifact_type{};
    std::string data{};  // the embedded blob, in base64 as the document has it
};

struct Manifest {
    std::string media_type{media::kManifest};
    Descriptor config;
    std::vector<Descriptor> layers;
    Annotations annotations;
    std::string artifact_type{};
    std::optional<Descriptor> subject{};
};

struct Index {
    std::string media_type{media::kIndex};
    std::vector<Descriptor> manifests;
    Annotations annotations;
};

struct Healthcheck {
    std::vector<std::string> test;
    std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
    int retries = 0;
};

struct History {
    std::optional<std::int64_t> created_ns;
    std::string created_by, author, comment;
    bool empty_layer = false;
};

// What a container of the image runs with. Order of `env` is kept.
struct RunConfig {
    std::string user;
    std::vector<std::string> exposed_ports;  // sorted, "80/tcp"
    std::vector<std::string> env;            // "K=V"
    std::optional<std::vector<std::string>> entrypoint, cmd, shell;
    std::vector<std::string> volumes;  // sorted
    std::string working_dir;
    std::map<std::string, std::string> labels;
    std::string stop_signal;
    bool args_escaped = false;
    std::optional<Healthcheck> healthcheck;
    std::vector<std::string> onbuild;
};

struct ImageConfig {
    std::optional<std::int64_t> created_ns;
    std::string author;
    Platform platform;
    std::string os_version;
    std::vector<std::string> os_features;
    RunConfig config;
    std::vector<Digest> diff_ids;
    std::vector<History> history;
    // Unknown top-level and config.* members of a decoded config, as "name" -> JSON text; written
    // back by encode so that an inherited config loses nothing.
    std::map<std::string, std::string> unknown_top, unknown_config;
};

// Upper bounds on documents from strangers.
inline constexpr std::uint64_t kMaxManifestBytes = 4u << 20;
inline constexpr std::uint64_t kMaxConfigBytes = 8u << 20;

std::string encode(const Manifest& manifest);
std::string encode(const Index& index);
std::string encode(const ImageConfig& config);  // compact, sorted keys

Manifest decode_manifest(std::string_view json);
Index decode_index(std::string_view json);
ImageConfig decode_config(std::string_view json);
// True if the document is an index (either kind), judged by its content, not by a header.
bool is_index(std::string_view json);
// True of an index's entry that says something about another entry instead of being an image.
bool is_attestation(const Descriptor& descriptor);
// Chooses the manifest for `platform`: exact match first, then the same os/architecture without a
// variant, then with the nearest older one; last a manifest that states no platform at all.
// Attestations are never chosen. nullopt if none fits.
std::optional<Descriptor> select_platform(const Index& index, const Platform& platform);

// ---------------------------------------------------------------------------------------------
// A JSON value from a stranger, for the documents above and for the small ones of the neighbours
// (tokens, credentials, configuration files). Every complaint is Corrupt and says where:
// `manifest: layers[3].size: not a whole number`.

class Json {
  public:
    // One UTF-8 document without duplicate names, at most 64 levels deep and 500 000 values large.
    // `what` begins every message about it.
    static Json parse(std::string_view text, std::string_view what);

    bool is_object() const;
    bool is_array() const;
    bool is_string() const;
    // Absent and null are the same: nullopt. Corrupt if this is not an object.
    std::optional<Json> find(const std::string& name) const;
    std::vector<std::pair<std::string, Json>> members() const;  // of an object, sorted by name
    std::vector<Json> items() const;                            // of an array; null is an empty one
    std::string string() const;
    std::int64_t integer() const;
    bool boolean() const;
    std::string dump() const;  // compact, sorted names
    [[noreturn]] void corrupt(std::string_view why) const;

  private:
    Json(std::shared_ptr<const void> document, const void* value, std::string where)
        : document_(std::move(document)), value_(value), where_(std::move(where)) {}
    std::shared_ptr<const void> document_;  // shared by all values taken out of it
    const void* value_;
    std::string where_;
};

// ---------------------------------------------------------------------------------------------
// Seam: bytes of blobs by digest. Implementations are safe from any thread.

class BlobSource {
  public:
    virtual ~BlobSource() = default;
    // NotFound names the digest.
    virtual std::uint64_t blob_size(const Digest& blob) = 0;
    // Fills `out` from `offset`; Corrupt if the blob ends first.
    virtual void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) = 0;
};

}  // namespace shale::oci
