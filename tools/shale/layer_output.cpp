// zstd layers come out of the layer writer as they are. For gzip and plain tar the frames are
// written to an anonymous file first and their tar stream is read back: the writer stays the one
// place that knows how changes become members, at the price of one fast compression.
#include "layer_output.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace shale::cli {

namespace {

constexpr int kFastestZstdLevel = 1, kHighestZstdLevel = 22;
constexpr int kDefaultGzipLevel = 6, kHighestGzipLevel = 9;

int checked_level(const LayerFormat& format) {
    const bool gzip = format.compression == oci::Compression::Gzip;
    const int lowest = gzip ? 0 : kFastestZstdLevel;
    const int highest = gzip ? kHighestGzipLevel : kHighestZstdLevel;
    const int level = format.level.value_or(gzip ? kDefaultGzipLevel : codec::kDefaultZstdLevel);
    if (format.level && format.compression == oci::Compression::None)
        fail(ErrorKind::Invalid, "an uncompressed layer has no compression level");
    if (level < lowest || level > highest)
        fail(ErrorKind::Invalid,
             fmt::format("unsupported compression-level {} for {}: {} to {} are", level,
                         oci::compression_name(format.compression), lowest, highest));
    return level;
}

// The one blob that lies in one open file.
class FileBlob final : public oci::BlobSource {
  public:
    FileBlob(int fd, std::uint64_t size) : fd_(fd), size_(size) {}
    std::uint64_t blob_size(const Digest&) override { return size_; }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        pread_exact(fd_, out, offset, "temporary layer");
    }

  private:
    int fd_;
    std::uint64_t size_;
};

layer::WriteOptions write_options(int level) {
    layer::WriteOptions options;
    options.level = level;
    options.threads = std::max(1u, std::thread::hardware_concurrency());
    return options;
}

LayerBlob recompress(const layer::Written& framed, int fd, oci::Compression compression, int level,
                     const codec::Sink& out) {
    FileBlob blobs(fd, framed.blob_bytes);
    LayerBlob blob{compression, {}, framed.diff_id, 0, framed.toc.tar_bytes};
    codec::Sha256 hash;
    const auto count_and_write = [&](Bytes bytes) {
        hash.update(bytes);
        blob.bytes += bytes.size();
        out(bytes);
    };
    const auto format = compression == oci::Compression::Gzip ? codec::StreamFormat::Gzip
                                                              : codec::StreamFormat::Plain;
    codec::StreamCompressor compressor(format, level, count_and_write);
    const auto tar = layer::tar_stream(blobs, framed.blob, framed.toc);
    std::vector<std::byte> buffer(256 << 10);
    while (const auto count = tar(buffer))
        compressor.write(Bytes(buffer).first(count));
    compressor.finish();
    blob.digest = hash.finish();
    return blob;
}

}  // namespace

LayerBlob write_layer_blob(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                           const layer::OpenContent& open, const LayerFormat& format,
                           const codec::Sink& out) {
    const int level = checked_level(format);
    if (format.compression == oci::Compression::Zstd) {
        const auto written = layer::write_layer(changes, after, open, write_options(level), out);
        return {format.compression, written.blob, written.diff_id, written.blob_bytes,
                written.toc.tar_bytes};
    }
    const UniqueFd spool = anonymous_file(TempDir::default_parent());
    const auto framed =
        layer::write_layer(changes, after, open, write_options(kFastestZstdLevel),
                           [&](Bytes bytes) { write_all(spool.get(), bytes, "temporary layer"); });
    return recompress(framed, spool.get(), format.compression, level, out);
}

}  // namespace shale::cli
