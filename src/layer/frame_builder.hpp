// Cuts a stream of tar bytes into frames, and closes the blob with its table of contents and
// footer.
#pragma once

#include "frame_pipeline.hpp"

namespace shale::layer {

class FrameBuilder {
  public:
    FrameBuilder(const WriteOptions& options, const codec::Sink& sink);

    std::uint64_t tar_offset() const { return tar_offset_; }
    std::size_t frame_bytes() const { return frame_bytes_; }

    // What stays within the current frame, however full it is.
    void append(Bytes bytes);
    MutableBytes room_in_frame(std::size_t count) { return current().room(count); }
    void commit_in_frame(std::size_t count);
    // Room for the next 1..wanted bytes of a long content; commit() closes the frame when it is
    // full.
    MutableBytes room(std::uint64_t wanted);
    void commit(std::size_t count);
    // Closes the current frame, if it holds anything.
    void cut();
    // The same, if it holds at least frame_bytes.
    void cut_if_full();

    // The next bytes of a tar made elsewhere, whose frames may be cut anywhere.
    void append_stream(Bytes bytes);

    // Content beside the tar. side_offset() is where the next byte goes, for a TocEntry that
    // finish() completes.
    std::uint64_t side_offset() const { return kBesideTar | side_offset_; }
    void append_side(Bytes bytes);

    // Ends the tar here and writes table of contents and footer.
    Written finish(std::vector<TocEntry> entries);

  private:
    // Marks a content offset that counts from the end of the tar, which is not known until
    // finish().
    static constexpr std::uint64_t kBesideTar = 1ull << 63;

    FrameBuffer& current();
    void cut_side();

    const codec::Sink& sink_;
    int level_;
    std::size_t frame_bytes_;
    FramePipeline pipeline_;
    FrameJob* job_ = nullptr;
    FrameJob* side_job_ = nullptr;
    std::uint64_t tar_offset_ = 0, side_offset_ = 0;
};

}  // namespace shale::layer
