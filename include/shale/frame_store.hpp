// layer: layers that reuse the frames of earlier ones. A frame's key covers the headers and content
// digests that go into it, so it is known before any content is read; what a FrameStore holds is
// neither read nor compressed again. The blob is the one that write_layer() gives.
#pragma once

#include <shale/codec_state.hpp>
#include <shale/layer.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace shale::layer {

// A frame that the blob of some layer holds.
struct StoredFrame {
    Digest blob;
    Frame frame;          // tar_offset means nothing; blob_digest may be zero: not known
    codec::Xxh128 check;  // of the compressed bytes
    // The DiffID computed so far, behind this frame, if the tar up to here is the one of which
    // `prefix` is the name: every key from the layer's first frame through this one.
    Digest prefix;
    std::array<std::byte, codec::Sha256Stream::kStateBytes> tar_state{};
};

// What find() says is checked before it is used, so a store may lose or damage frames at any time.
// Only one that was damaged before it was stored gets past that, see DamagedFrame.
class FrameStore {
  public:
    virtual ~FrameStore() = default;
    virtual std::optional<StoredFrame> find(const Digest& key) = 0;
    // The compressed bytes; throws if they cannot be had.
    virtual void read(const StoredFrame& frame, MutableBytes out) = 0;
};

struct WriteStats {
    std::uint64_t frames = 0, frames_reused = 0;
    std::uint64_t bytes_compressed = 0;  // of tar
    std::uint64_t bytes_skipped = 0;     // of tar, neither read nor hashed: an unchanged beginning
    std::uint64_t files_opened = 0;
};

struct Rewritten {
    Written written;
    std::shared_ptr<const ContentTable> contents;
    // What a FrameStore may remember about the blob, under each frame's keys.
    std::vector<std::pair<Digest, StoredFrame>> frames;
    WriteStats stats;
};

// A frame of the store holds the bytes that it held, and they are no frame. The blob has begun with
// it: whoever gets this writes the layer again, without the store.
class DamagedFrame : public Error {
  public:
    using Error::Error;
};

// write_layer() with frames from `store`, which may be null. DamagedFrame, too.
Rewritten rewrite_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                        const OpenContent& open, const WriteOptions& options, FrameStore* store,
                        const codec::Sink& out);

}  // namespace shale::layer
