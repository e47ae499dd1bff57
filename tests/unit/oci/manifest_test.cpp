// Manifests, indexes and media types: both dialects in, one deterministic form out, lies refused.
#include "golden.hpp"

#include <shale/oci.hpp>

#include <functional>

namespace shale::oci {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');
const std::string kLayer =
    R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" + kDigest +
    R"(","size":7})";
const std::string kConfig =
    R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" + kDigest +
    R"(","size":2})";

std::string manifest_text(const std::string& layers, const std::string& more = {}) {
    return R"({"schemaVersion":2,)" + kConfig + R"(,"layers":)" + layers + more + "}";
}

struct Refusal {
    std::string name, text;
    ErrorKind kind;
    std::string message;
};

void PrintTo(const Refusal& c, std::ostream* out) {
    *out << c.name;
}

void expect_refusal(const Refusal& c, const std::function<void(const std::string&)>& decode) {
    try {
        decode(c.text);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), c.message);
        EXPECT_EQ(error.kind(), c.kind);
    }
}

class RefusedManifest : public testing::TestWithParam<Refusal> {};
TEST_P(RefusedManifest, SaysWhy) {
    expect_refusal(GetParam(), decode_manifest);
}

std::string layer_with(const std::string& digest, const std::string& size) {
    return manifest_text(R"([)" + kLayer + R"(,{"mediaType":"x","digest":)" + digest +
                         R"(,"size":)" + size + "}]");
}

INSTANTIATE_TEST_SUITE_P(
    Manifest, RefusedManifest,
    testing::Values(
        Refusal{"not an object", "[]", ErrorKind::Corrupt, "manifest: not an object"},
        Refusal{"empty object", "{}", ErrorKind::Corrupt, "manifest: schemaVersion is missing"},
        Refusal{"schema 1 by version", R"({"schemaVersion":1})", ErrorKind::Unsupported,
                "Docker schema 1 manifests are not supported"},
        Refusal{"schema 1 by content", R"({"schemaVersion":2,"fsLayers":[]})",
                ErrorKind::Unsupported, "Docker schema 1 manifests are not supported"},
        Refusal{"version 3", R"({"schemaVersion":3})", ErrorKind::Corrupt,
                "manifest: schemaVersion: not 2"},
        Refusal{"no config", R"({"schemaVersion":2,"layers":[]})", ErrorKind::Corrupt,
                "manifest: config is missing"},
        Refusal{"negative size", layer_with("\"" + kDigest + "\"", "-1"), ErrorKind::Corrupt,
                "manifest: layers[1].size: negative"},
        Refusal{"fractional size", layer_with("\"" + kDigest + "\"", "1.0"), ErrorKind::Corrupt,
                "manifest: layers[1].size: not a whole number of 64 bits"},
        Refusal{"huge size", layer_with("\"" + kDigest + "\"", "18446744073709551615"),
                ErrorKind::Corrupt, "manifest: layers[1].size: not a whole number of 64 bits"},
        Refusal{"size as text", layer_with("\"" + kDigest + "\"", "\"7\""), ErrorKind::Corrupt,
                "manifest: layers[1].size: not a whole number of 64 bits"},
        Refusal{"bad digest", layer_with(R"("sha256:XY")", "1"), ErrorKind::Corrupt,
                "manifest: layers[1].digest: not a sha256 digest"},
        Refusal{"path as digest", layer_with(R"("../../etc/passwd")", "1"), ErrorKind::Corrupt,
                "manifest: layers[1].digest: not a sha256 digest"},
        Refusal{"digest is a number", layer_with("5", "1"), ErrorKind::Corrupt,
                "manifest: layers[1].digest: not a string"},
        Refusal{"sha512", layer_with("\"sha512:" + std::string(128, 'b') + "\"", "1"),
                ErrorKind::Unsupported,
                "unsupported digest algorithm: sha512:" + std::string(128, 'b')},
        Refusal{"layers is an object", manifest_text("{}"), ErrorKind::Corrupt,
                "manifest: layers: not an array"},
        Refusal{"annotation is a list", manifest_text("[]", R"(,"annotations":{"a":[]})"),
                ErrorKind::Corrupt, "manifest: annotations.a: not a string"},
        Refusal{"both kinds", manifest_text("[]", R"(,"manifests":[])"), ErrorKind::Corrupt,
                "manifest: both a manifest and an index, which is ambiguous"},
        Refusal{"index", R"({"schemaVersion":2,"manifests":[]})", ErrorKind::Corrupt,
                "manifest: this is an index"},
        Refusal{"index by mediaType",
                manifest_text("[]", R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"),
                ErrorKind::Corrupt,
                "manifest: contradicts its own mediaType application/vnd.oci.image.index.v1+json"},
        Refusal{"foreign mediaType", manifest_text("[]", R"(,"mediaType":"text/plain")"),
                ErrorKind::Unsupported, "unsupported manifest media type: text/plain"},
        Refusal{"duplicate config",
                R"({"schemaVersion":2,)" + kConfig + "," + kConfig + R"(,"layers":[]})",
                ErrorKind::Corrupt, "manifest: duplicate member \"config\""},
        Refusal{"too large", std::string(kMaxManifestBytes + 1, ' '), ErrorKind::Corrupt,
                "manifest: larger than 4.19 MB"}));

class RefusedIndex : public testing::TestWithParam<Refusal> {};
TEST_P(RefusedIndex, SaysWhy) {
    expect_refusal(GetParam(), decode_index);
}

INSTANTIATE_TEST_SUITE_P(
    Index, RefusedIndex,
    testing::Values(Refusal{"manifest", manifest_text("[]"), ErrorKind::Corrupt,
                            "index: this is a manifest"},
                    Refusal{"entries are numbers", R"({"schemaVersion":2,"manifests":[1]})",
                            ErrorKind::Corrupt, "index: manifests[0]: not an object"},
                    Refusal{"no version", R"({"manifests":[]})", ErrorKind::Corrupt,
                            "index: schemaVersion is missing"},
                    Refusal{"platform is text",
                            R"({"schemaVersion":2,"manifests":[{"digest":")" + kDigest +
                                R"(","size":1,"platform":"linux"}]})",
                            ErrorKind::Corrupt, "index: manifests[0].platform: not an object"}));

TEST(Manifest, MissingMediaTypeIsInferredFromTheConfig) {
    EXPECT_EQ(decode_manifest(manifest_text("[]")).media_type, media::kManifest);
    const std::string docker = R"({"schemaVersion":2,"layers":[],"config":{"mediaType":")" +
                               std::string(media::kDockerConfig) + R"(","digest":")" + kDigest +
                               R"(","size":2}})";
    EXPECT_EQ(decode_manifest(docker).media_type, media::kDockerManifest);
    EXPECT_EQ(decode_index(R"({"schemaVersion":2,"manifests":[]})").media_type, media::kIndex);
}

TEST(Manifest, KindIsJudgedByContent) {
    EXPECT_FALSE(is_index(manifest_text("[]")));
    EXPECT_TRUE(is_index(R"({"schemaVersion":2,"manifests":[]})"));
    EXPECT_TRUE(is_index(R"({"schemaVersion":2,"mediaType":")" + std::string(media::kDockerIndex) +
                         R"(","manifests":null})"));
    EXPECT_THROW(is_index(R"({"layers":[],"manifests":[]})"), Error);
}

TEST(Manifest, EveryFieldSurvivesTheRoundTrip) {
    Manifest manifest;
    manifest.config = {std::string(media::kConfig), Digest::parse(kDigest), 2, {{"a", "b"}}, {}};
    manifest.config.data = "e30=";
    Descriptor layer{std::string(media::kLayerZstd), Digest::parse(kDigest), 1ull << 40, {}, {}};
    layer.urls = {"https://example.org/x"};
    layer.artifact_type = "text/x";
    manifest.layers = {layer, layer};
    manifest.annotations = {{"k", "v\n\u00e9"}};
    manifest.artifact_type = "application/x";
    manifest.subject = layer;
    const std::string text = encode(manifest);
    EXPECT_EQ(encode(decode_manifest(text)), text);
    const auto again = decode_manifest(text);
    EXPECT_EQ(again.config.data, "e30=");
    EXPECT_EQ(again.layers.at(1).size, 1ull << 40);
    EXPECT_EQ(again.layers.at(1).urls, layer.urls);
    EXPECT_EQ(again.layers.at(1).artifact_type, "text/x");
    EXPECT_EQ(again.annotations, manifest.annotations);
    EXPECT_EQ(again.artifact_type, "application/x");
    ASSERT_TRUE(again.subject);
    EXPECT_EQ(again.subject->digest, layer.digest);
}

TEST(Manifest, BytesThatAreNotUtf8AreReplaced) {
    Manifest manifest;
    manifest.annotations = {{"k", "a\xff z"}};
    EXPECT_EQ(decode_manifest(encode(manifest)).annotations.at("k"), "a\ufffd z");
}

struct Document {
    std::string name;
    std::function<std::string(const std::string&)> reencode;
};

void PrintTo(const Document& c, std::ostream* out) {
    *out << c.name;
}

class ForeignDocument : public testing::TestWithParam<Document> {};

TEST_P(ForeignDocument, ReadsBackAsItself) {
    const auto once = GetParam().reencode(golden_input(GetParam().name));
    EXPECT_EQ(GetParam().reencode(once), once) << "encode(decode(x)) is a fixed point";
    expect_golden(GetParam().name, once);
}

std::string reencode_manifest(const std::string& text) {
    return encode(decode_manifest(text));
}
std::string reencode_index(const std::string& text) {
    return encode(decode_index(text));
}
std::string reencode_config(const std::string& text) {
    return encode(decode_config(text));
}

INSTANTIATE_TEST_SUITE_P(Golden, ForeignDocument,
                         testing::Values(Document{"buildah-docker-manifest", reencode_manifest},
                                         Document{"buildah-oci-manifest", reencode_manifest},
                                         Document{"umoci-manifest", reencode_manifest},
                                         Document{"buildah-mixed-index", reencode_index},
                                         Document{"umoci-layout-index", reencode_index},
                                         Document{"buildah-docker-config", reencode_config},
                                         Document{"buildah-oci-config", reencode_config},
                                         Document{"umoci-config", reencode_config}));

TEST(Media, LayerTypesAndCompressions) {
    for (const auto compression : {Compression::None, Compression::Gzip, Compression::Zstd}) {
        EXPECT_EQ(layer_compression(layer_media_type(compression)), compression);
        EXPECT_EQ(parse_compression(compression_name(compression)), compression);
    }
    EXPECT_EQ(layer_media_type(Compression::Zstd), media::kLayerZstd);
    EXPECT_EQ(layer_compression(media::kDockerLayerTar), Compression::None);
    EXPECT_EQ(layer_compression(media::kDockerLayerGzip), Compression::Gzip);
    EXPECT_EQ(layer_compression("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
              Compression::Gzip);
    EXPECT_FALSE(layer_compression("application/vnd.in-toto+json"));
    EXPECT_FALSE(layer_compression(""));
    EXPECT_THROW(parse_compression("lz4"), Error);
}

}  // namespace
}  // namespace shale::oci
