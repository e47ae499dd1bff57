// zstd layers, framed or chunked, and estargz come out of the layer writers as they are. For the
// forms that are one stream the frames are written to an anonymous file first and their tar is read
// back: the writer stays the one place that knows how changes become members, at the price of one
// fast compression.
#include "layer_output.hpp"

#include <shale/base.hpp>

namespace shale::cli {

namespace {

constexpr int kFastestZstdLevel = 1;

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

layer::WriteOptions write_options(int level, std::uint64_t memory_bytes) {
    layer::WriteOptions options;
    options.level = level;
    options.memory_bytes = memory_bytes;
    return options;
}

}  // namespace

layer::Formed write_layer_blob(const std::vector<diff::Change>& changes,
                               const snapshot::Tree& after, const layer::OpenContent& open,
                               const layer::FormOptions& options, const codec::Sink& out) {
    const auto form = options.form;
    if (layer::is_seekable(form)) return layer::write_seekable(changes, after, open, options, out);
    const int checked = layer::checked_level(form, options.level);
    if (form == layer::Form::Zstd) {
        const auto written = layer::write_layer(changes, after, open,
                                                write_options(checked, options.memory_bytes), out);
        return {written.blob, written.blob_bytes, written.diff_id, written.toc.tar_bytes, {}};
    }
    const UniqueFd spool = anonymous_file(TempDir::default_parent());
    const auto framed = layer::write_layer(
        changes, after, open, write_options(kFastestZstdLevel, options.memory_bytes),
        [&](Bytes bytes) { write_all(spool.get(), bytes, "temporary layer"); });
    FileBlob blobs(spool.get(), framed.blob_bytes);
    return layer::compress_tar(layer::tar_stream(blobs, framed.blob, framed.toc), "temporary layer",
                               options, out);
}

}  // namespace shale::cli
