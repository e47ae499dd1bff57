// One remote layer: which of its frames are here, who fetches which, and what to fetch ahead.
//
// In the forms of other programs a frame may be the beginning of several pieces, each with
// something else in it; it has as many bytes as the longest of them needs.
//
// A frame is absent, coming (exactly one fetcher has claimed it) or here. Whoever wants one that is
// coming waits for it; a fetch that fails makes its frames absent again, and the next reader tries.
#pragma once

#include <shale/lazy.hpp>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace shale::lazy {

// Frames behind one another in the blob, with next to nothing between: one request fetches them.
struct Run {
    std::size_t first = 0, count = 0;
};

// Safe from any thread.
class RemoteLayer {
  public:
    // At most so many bytes of the blob come with one request, unless one frame has more.
    static constexpr std::uint64_t kMostRunBytes = 4 << 20;
    // In zstd:chunked the next file's header lies between.
    static constexpr std::uint64_t kMostGapBytes = 4 << 10;
    // Forms of other programs have a frame for each file, and most files are small: so much of what
    // follows comes along, as a frame of ours holds neighbours, too.
    static constexpr std::uint64_t kAlongBytes = 256 << 10;

    // `tail`: the verified end of the blob, if there is one. Frames of the table that begin in it
    // are none here; others are kept in `kept` once they are verified, where they lie in the blob.
    RemoteLayer(oci::Descriptor layer, layer::FrameTable table, std::string tail, UniqueFd kept);

    const oci::Descriptor& descriptor() const { return layer_; }
    const std::string& tail() const { return tail_; }
    std::uint64_t tail_offset() const { return layer_.size - tail_.size(); }
    std::size_t size() const { return frames_.size(); }
    std::uint64_t offset(std::size_t frame) const { return frames_[frame].offset; }
    std::uint64_t bytes(std::size_t frame) const { return frames_[frame].bytes; }
    std::uint64_t bytes(Run run) const;
    std::optional<std::size_t> find(std::uint64_t offset) const;
    // Whether a frame of the table is all of those bytes: one of the pieces that begin there.
    bool is_whole(std::size_t frame, std::uint64_t bytes) const;

    // A reader's turn at a frame: waits while it is coming. If it is not here then, the caller has
    // claimed it, and what is to come along. `ahead` is claimed, too, for somebody who does not
    // keep the reader waiting.
    struct Turn {
        bool is_here = false;
        Run claimed;
        std::optional<Run> ahead;
    };
    Turn take(std::size_t frame, bool may_go_ahead);
    bool is_here(std::size_t frame) const;
    // For what nobody waits for: only one that is absent is claimed, and was so.
    enum class Presence : std::uint8_t { Absent, Coming, Here };
    Presence claim(std::size_t frame);
    bool follows(std::size_t frame) const;  // the one before it, as in a run

    // Ends a claim: with the frame's bytes, which are verified, or without. Corrupt, and the claim
    // goes on, if they are not what the table says.
    void put(std::size_t frame, Bytes bytes);
    // The same if they are in the file of what is kept already; false, and nothing ends, if not.
    bool put_kept(std::size_t frame);
    void give_up(Run run) noexcept;  // what is here of it stays
    // Of a frame that is here, from its beginning.
    void read(std::size_t frame, MutableBytes out) const;

  private:
    struct Frame {
        std::uint64_t offset = 0, bytes = 0;
        std::span<const std::size_t> pieces;  // that begin there
        Presence presence = Presence::Absent;
        bool was_read = false;
        // Of frames that were read one after another, up to this one. Zero: it was not.
        std::uint64_t streak = 0;
        bool begins_ahead = false;  // the first of a run that was fetched ahead
    };
    Run claim_along(std::size_t frame);
    void check(const Frame& frame, Bytes bytes) const;
    void set_here(std::size_t frame);
    std::optional<Run> ahead_of(std::size_t frame, bool was_here);

    const oci::Descriptor layer_;
    const layer::FrameTable table_;
    const std::string tail_;
    const UniqueFd kept_;
    std::vector<std::size_t> order_;  // of the table's frames, by where they begin
    std::unordered_map<std::uint64_t, std::size_t> by_offset_;
    mutable std::mutex mutex_;  // guards what changes in frames_
    std::condition_variable changed_;
    std::vector<Frame> frames_;
};

}  // namespace shale::lazy
