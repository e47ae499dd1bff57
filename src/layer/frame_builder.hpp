// Cuts a stream of tar bytes into frames, and closes the blob with its table of contents and
// footer.
#pragma once

#include "frame_pipeline.hpp"
#include "toc_encoder.hpp"

namespace shale::layer {

class FrameBuilder {
  public:
    // Pieces of the table of contents that have a key come from `store` if it is not null and has
    // them.
    FrameBuilder(const WriteOptions& options, const codec::Sink& sink, FrameStore* store = nullptr,
                 OnOtherContent on_other = {});

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
    // A content in the current frame, to be hashed on the way. `before`: of what the frames so far
    // do not hold, for the first part of one that is not whole.
    void note_content(const JobContent& content,
                      const std::optional<codec::Sha256Stream>& before = std::nullopt);
    // Closes the current frame, if it holds anything. The first key, if any, takes part in the
    // names of all that follows.
    void cut(std::vector<Digest> keys = {});
    // The same, but the last `rest` bytes begin the next frame; returns them in their new place.
    Bytes cut_before(std::size_t rest, std::vector<Digest> keys);
    // Forgets the current frame's bytes but for the last `rest`.
    Bytes drop_before(std::size_t rest);
    Bytes frame_content() { return current().bytes(); }

    // A frame from `store` in place of append() and cut(). False, and nothing has happened, if the
    // store cannot give it unharmed. The current frame must be empty.
    bool append_stored(FrameStore& store, const StoredFrame& stored, const Digest& key);
    // Takes the compressed form of the current frame's first bytes, all but `rest`, from the store,
    // if what it holds decompresses to the same.
    bool pack_from(FrameStore& store, const StoredFrame& stored, std::size_t rest);
    // The same, if it holds at least frame_bytes.
    void cut_if_full();

    // The next bytes of a tar made elsewhere, whose frames may be cut anywhere.
    void append_stream(Bytes bytes);

    // Content beside the tar. side_offset() is where the next byte goes, for a TocEntry that is
    // described when the tar is complete.
    std::uint64_t side_offset() const { return kBesideTar | side_offset_; }
    void append_side(Bytes bytes);

    // The table of contents, in tar order. Its text is compressed on the way: a layer of a million
    // files never has all of it in memory. Until finish() it may be called on another thread than
    // the rest.
    void describe(TocEntry entry);
    // Ends a piece of its text, and later of its digests, under these keys. Both are true of what
    // was described since the piece before. False if the text was too long to be one piece.
    bool end_piece(const Digest& text, const Digest& digests);
    // A section in place of describe() and end_piece(), with its contents where they lie now.
    // False, and nothing has happened, if the store cannot give its text unharmed. The caller must
    // have ended the piece before.
    bool append_piece(const StoredSection& section, std::uint64_t members,
                      std::span<const ContentTable::Content> contents);
    const TocEncoder& table() const { return encoder_; }
    // How many there will be at most: so that a table of many is not moved while it grows.
    void expect(std::size_t entries) { encoder_.expect(entries); }

    // Ends the tar here and writes table of contents and footer. files_opened is the caller's to
    // tell.
    Rewritten finish();

  private:
    // Marks a content offset that counts from the end of the tar, which is not known until all of
    // it was appended.
    static constexpr std::uint64_t kBesideTar = 1ull << 63;

    FrameBuffer& current();
    FrameJob& current_job();
    void submit(FrameJob* job, std::vector<Digest> keys);
    void cut_side();
    // The text at hand, as a frame of its own; under a key if it has one.
    void submit_table(const std::optional<Digest>& key = std::nullopt);
    bool submit_stored_table(const Digest& key, std::uint64_t text_bytes);
    void write_digests();
    void write_tail(FramePipeline::Result& result, Written& written);

    // Where the digests of a piece end among all contents.
    struct Piece {
        Digest digests;
        std::size_t contents_end;
    };

    const codec::Sink& sink_;
    FrameStore* const store_;  // or null
    int level_;
    bool keep_entries_;
    std::size_t frame_bytes_;
    FramePipeline pipeline_;
    FrameJob* job_ = nullptr;
    FrameJob* side_job_ = nullptr;
    std::uint64_t tar_offset_ = 0, side_offset_ = 0;
    Digest prefix_;  // the name of the frames so far
    std::uint64_t frames_reused_ = 0, bytes_skipped_ = 0;
    codec::FrameDecompressor decompressor_;
    std::string stored_tar_;
    TocEncoder encoder_;
    codec::FrameDecompressor table_decompressor_;
    std::string stored_text_;
    std::vector<Piece> pieces_;
    bool is_piece_cut_ = false;  // part of the one at hand was submitted
    std::vector<TocEntry> entries_;
};

}  // namespace shale::layer
