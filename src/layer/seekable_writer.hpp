// Layers in which every content, or every chunk of a large one, is compressed by itself: what
// estargz and the two dialects of zstd:chunked have in common. Where the pieces ended up in the
// blob is known when all of them are; then the dialect writes its table and its footer behind them.
#pragma once

#include "frame_pipeline.hpp"
#include "rolling_chunker.hpp"
#include "tar_split.hpp"

#include <shale/layer_form.hpp>

#include <string>
#include <vector>

namespace shale::layer {

struct ContentChunk {
    std::uint64_t offset = 0, bytes = 0;  // in the content
    std::size_t piece = 0;                // index of its piece, later of its frame in the blob
    Digest digest;                        // of its bytes
    bool zeros = false;
};

struct SeekableEntry {
    tar::Member member;
    Digest content;
    std::vector<ContentChunk> chunks;  // of a content that is not empty
};

// What the dialects are made of.
struct SeekableBody {
    std::vector<SeekableEntry> entries;
    FramePipeline::Result result;  // one frame for each piece
    std::string tar_split;         // compressed; zstd:chunked only
    std::uint64_t tar_split_bytes = 0;
};

class SeekableWriter {
  public:
    SeekableWriter(const FormOptions& options, const codec::Sink& out);

    // `source` is null if the member has no content.
    void add(const tar::Member& member, const Digest& content, const codec::Source& source);
    // Ends the archive, but for estargz, whose TOC is its last member.
    SeekableBody finish();

  private:
    void put(Bytes bytes);
    void put_header(const std::string& header);
    void end_piece();
    void add_content(SeekableEntry& entry, const codec::Source& source);
    void cut_chunks(Bytes fresh, bool is_last);
    void put_chunk(SeekableEntry& entry, Bytes bytes, bool zeros);
    void submit();

    const Form form_;
    FramePipeline pipeline_;
    std::optional<TarSplit> split_;  // zstd:chunked only
    FrameJob* job_ = nullptr;
    std::size_t piece_bytes_ = 0;  // of the piece that is not ended yet
    std::size_t pieces_ = 0;       // ended ones
    std::uint64_t padding_ = 0;    // owed to the content before
    // Of the content at hand:
    codec::Sha256Stream content_hash_;
    RollingChunker rolling_;
    std::vector<RollingChunker::Chunk> ended_;
    std::uint64_t uncut_ = 0;
    std::vector<std::byte> pending_;
    std::vector<SeekableEntry> entries_;
};

// They complete the blob and give its digest, size and annotations.
Formed finish_zstd_chunked(SeekableBody body, int level, const codec::Sink& out);
Formed finish_zstd_stargz(SeekableBody body, int level, const codec::Sink& out);
Formed finish_estargz(SeekableBody body, int level, const codec::Sink& out);

// The tables, for the writers above and for tests.
std::string zstd_chunked_toc(const SeekableBody& body, const Digest& tar_split);
std::string stargz_toc(const SeekableBody& body);  // zstd:stargz's and estargz's

// What ends the footer of the current dialect of zstd:chunked, and of the one before, which has no
// tar-split and is stargz-snapshotter's still; and how the annotations of either begin.
inline constexpr std::string_view kChunkedMagic = "GNUlInUx", kOldChunkedMagic = "GnUlInUx";
inline constexpr std::string_view kChunkedKeys = "io.github.containers.zstd-chunked.",
                                  kOldChunkedKeys = "io.containers.zstd-chunked.";
// The annotation that has the SHA-256 of the JSON, for stargz-snapshotter.
inline constexpr const char* kStargzTocDigest = "containerd.io/snapshot/stargz/toc.digest";

inline constexpr std::string_view kEStargzToc = "stargz.index.json";

}  // namespace shale::layer
