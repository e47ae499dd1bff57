// Media types of layers, and the names of their compressions.
#include <shale/oci.hpp>

namespace shale::oci {
namespace {

struct LayerType {
    std::string_view media_type;
    Compression compression;
};

// The first of each compression is the one we write. "Foreign" and "nondistributable" layers are
// deprecated, but their bytes are ordinary ones once a registry serves them; Docker's zstd type was
// never specified and is found in the wild all the same.
constexpr LayerType kLayerTypes[] = {
    {media::kLayerTar, Compression::None},
    {media::kLayerGzip, Compression::Gzip},
    {media::kLayerZstd, Compression::Zstd},
    {media::kDockerLayerTar, Compression::None},
    {media::kDockerLayerGzip, Compression::Gzip},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::Zstd},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar", Compression::None},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::Gzip},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", Compression::None},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::Gzip},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Compression::Zstd},
};

constexpr std::string_view kCompressionNames[] = {"uncompressed", "gzip", "zstd"};

}  // namespace

std::optional<Compression> layer_compression(std::string_view media_type) {
    for (const auto& type : kLayerTypes)
        if (type.media_type == media_type) return type.compression;
    return std::nullopt;
}

std::string_view layer_media_type(Compression compression) {
    for (const auto& type : kLayerTypes)
        if (type.compression == compression) return type.media_type;
    SHALE_ENSURE(!"every compression has a media type");
    return {};
}

std::string_view compression_name(Compression compression) {
    return kCompressionNames[static_cast<std::size_t>(compression)];
}

Compression parse_compression(std::string_view name) {
    for (const auto compression : {Compression::None, Compression::Gzip, Compression::Zstd})
        if (compression_name(compression) == name) return compression;
    fail(ErrorKind::Invalid, "unknown compression \"" + std::string(name) +
                                 "\"; known are uncompressed, gzip and zstd");
}

}  // namespace shale::oci
