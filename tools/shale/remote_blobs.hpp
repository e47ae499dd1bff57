// Layers that stay in their registry: a table of contents comes with one request, a frame with
// another when somebody reads it, and every byte is verified before it is shown.
//
// What vouches for what: the manifest, whose digest names the image, states the digest of each
// layer's tail (its table of contents and footer); the table states the digest of each frame. The
// DiffID cannot be checked without the whole layer: what a lazy image shows is what its table says.
#pragma once

#include <shale/layer.hpp>
#include <shale/oci.hpp>
#include <shale/registry.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace shale::cli {

// Safe from any thread once the layers are added.
class RemoteBlobs final : public oci::BlobSource {
  public:
    // Fills `out` with the bytes of a layer from `offset`; throws if it cannot.
    using Fetch =
        std::function<void(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out)>;
    // Blobs that were not added are `local`'s, which outlives this. Frames that were fetched are
    // kept in unnamed files in `directory`.
    RemoteBlobs(Fetch fetch, oci::BlobSource& local, std::string directory);
    ~RemoteBlobs() override;

    // Fetches the table of contents. Null, and nothing added, if the layer cannot be read in parts:
    // the manifest does not vouch for a table, or the table not for its frames. Corrupt if the
    // table is not the one that the manifest means.
    std::shared_ptr<const layer::Toc> add(const oci::Descriptor& layer);

    std::uint64_t blob_size(const Digest& blob) override;
    // Of a remote blob: its tail, or exactly one frame. Corrupt if the frame has another digest.
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override;

    struct Stats {
        std::uint64_t requests = 0, bytes = 0;
    };
    Stats stats() const;

  private:
    struct Remote;
    Remote* find(const Digest& blob) const;
    void read_frame(Remote& remote, std::uint64_t offset, MutableBytes out);
    void fetch(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out);

    Fetch fetch_;
    oci::BlobSource& local_;
    std::string directory_;
    std::map<Digest, std::unique_ptr<Remote>> remotes_;
    mutable std::mutex mutex_;  // guards stats_ and each Remote's set of frames; not held over I/O
    Stats stats_;
};

}  // namespace shale::cli
