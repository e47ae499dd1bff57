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

// A stretch of some layer: a few thousand nodes of its tree that follow each other, and what became
// of them. Where a later tree has the same nodes in the same place, their members need not be
// planned, encoded and described again; the layer's bytes follow from this.
struct StoredSection {
    // The members of one frame. Of a large content the header alone, at the end of its group; its
    // own frames follow.
    struct Group {
        Digest key;
        std::uint64_t tar_bytes = 0;
        std::uint32_t members = 0;
        bool ends_in_large = false;
    };
    // What lies before a content that does not lie one header behind the one before.
    struct Gap {
        std::uint32_t content = 0;  // which of the section's contents
        std::uint64_t bytes = 0;
    };
    Digest nodes;  // all that the members say
    Digest next;   // what of the member behind them the end of the last group depends on
    std::vector<Group> groups;
    // Keys of the frames in which the table of contents has their text and, if there are contents,
    // their digests, and how long the text is.
    Digest text, digests;
    std::uint64_t text_bytes = 0;
    std::vector<Gap> gaps;
    std::uint64_t gap_behind = 0;  // tar bytes behind the last content, or since the one before
    // What the rule for groups knows behind the last member.
    std::uint64_t directory_bytes = 0, group_bytes = 0;
};

// What find() says is checked before it is used, so a store may lose or damage frames at any time.
// Only one that was damaged before it was stored gets past that, see DamagedFrame. find() and
// read() are called from two threads.
class FrameStore {
  public:
    virtual ~FrameStore() = default;
    virtual std::optional<StoredFrame> find(const Digest& key) = 0;
    // By where it begins: path and what led up to it.
    virtual std::optional<StoredSection> find_section(const Digest& key) = 0;
    // The compressed bytes; throws if they cannot be had.
    virtual void read(const StoredFrame& frame, MutableBytes out) = 0;
};

struct WriteStats {
    std::uint64_t frames = 0, frames_reused = 0;
    std::uint64_t bytes_compressed = 0;  // of tar
    std::uint64_t bytes_skipped = 0;     // of tar, neither read nor hashed: an unchanged beginning
    std::uint64_t files_opened = 0;
    std::uint64_t members_reused = 0;  // in sections of earlier layers: not even planned
};

struct Rewritten {
    Written written;
    std::shared_ptr<const ContentTable> contents;
    // What a FrameStore may remember about the blob, under each frame's keys.
    std::vector<std::pair<Digest, StoredFrame>> frames;
    std::vector<std::pair<Digest, StoredSection>> sections;
    WriteStats stats;
};

// A frame of the store holds the bytes that it held, and they are no frame. The blob has begun with
// it: whoever gets this writes the layer again, without the store.
class DamagedFrame : public Error {
  public:
    using Error::Error;
};

// write_layer() with frames from `store`, which may be null. DamagedFrame, too. Changes may be
// those of Options::whole_subtrees.
Rewritten rewrite_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                        const OpenContent& open, const WriteOptions& options, FrameStore* store,
                        const codec::Sink& out);

}  // namespace shale::layer
