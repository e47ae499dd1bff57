// layer: changes <-> an OCI layer blob.
//
// A shale layer is an ordinary `tar+zstd` layer whose zstd stream is cut into independent frames,
// followed by its table of contents (TOC) and a footer in skippable frames, so any reader sees a
// plain layer and shale reads one file by decompressing one or a few frames. Layout byte by byte:
// docs/formats/layer.md.
//
// Everything inside a layer is addressed by its offset in the *uncompressed tar*: the frame table
// maps tar offsets to blob offsets, a TOC entry says where in the tar its content starts. That
// holds for layers we wrote and for foreign ones that were re-framed, whose tar bytes are kept
// verbatim so that their DiffID stays true.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/oci.hpp>
#include <shale/snapshot.hpp>
#include <shale/tar.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::layer {

// One independent zstd frame: `blob_bytes` at `blob_offset` decompress to `tar_bytes` of the tar
// stream starting at `tar_offset`. Frames cover the tar stream without gap or overlap, ascending.
struct Frame {
    std::uint64_t blob_offset = 0, blob_bytes = 0;
    std::uint64_t tar_offset = 0, tar_bytes = 0;
    std::uint64_t skip = 0;  // of foreign ones: decompressed bytes before those that are meant
    // SHA-256 of the blob's bytes, for who has not got the blob; zero if the table does not say.
    Digest blob_digest{};
};

struct TocEntry {
    tar::Member member;                // whiteouts are members, as in the tar
    Digest content;                    // SHA-256 of a regular file's bytes; zero for other types
    std::uint64_t content_offset = 0;  // in the tar stream; meaningless for empty content
};

// Ours, or the pieces that a table of another program names (layer_form.hpp).
enum class FrameCoding { Frames, ZstdPieces, GzipPieces };

struct FrameTable {
    std::vector<Frame> frames;
    std::uint64_t tar_bytes = 0;
    // Foreign pieces hold contents alone, one after another: "tar" offsets number these, tar_bytes
    // is not known and 0. Each has a digest by which it is checked when it is read.
    FrameCoding coding = FrameCoding::Frames;
    std::vector<Digest> frame_digests{};  // SHA-256 of each frame's bytes; empty for ours
};

// Index of the frame that holds tar offset `at`, which must lie within the frames.
std::size_t frame_at(const FrameTable& table, std::uint64_t at);

struct Toc : FrameTable {
    std::vector<TocEntry> entries;  // in tar order
};

std::string encode_toc(const Toc& toc);
// Corrupt, naming the entry, if any range, order or field is impossible.
Toc decode_toc(Bytes json);
inline constexpr std::uint64_t kMaxTocBytes = 512ull << 20;
// Reads footer and TOC of a blob. nullopt if the blob carries none (a foreign layer).
std::optional<Toc> read_toc(oci::BlobSource& blobs, const Digest& blob);
// How many bytes at the end of the blob read_toc() needs, or nullopt as above.
std::optional<std::uint64_t> toc_tail_bytes(oci::BlobSource& blobs, const Digest& blob);
// A manifest vouches for them to who has not got the blob, with these annotations on the layer:
// their SHA-256 and how many they are.
inline constexpr std::string_view kAnnotationTocDigest = "dev.shale.toc.digest";
inline constexpr std::string_view kAnnotationTocBytes = "dev.shale.toc.bytes";

// ---------------------------------------------------------------------------------------------
// Writing.

inline constexpr std::uint64_t kWriterMemory = 256ull << 20;

struct WriteOptions {
    int level = codec::kDefaultZstdLevel;
    // Tar bytes that a frame of small members holds at least; twice that on average, four times at
    // most. A content too large for that has frames of its own, twice as large. (0001-frame-groups)
    std::uint32_t frame_bytes = 512 << 10;
    // Compressors, as far as they fit into memory_bytes with what they work on, but at least one.
    // 0: one for each processor. The bytes written do not depend on it.
    unsigned threads = 0;
    std::uint64_t memory_bytes = kWriterMemory;
    // Whether Written::toc lists the entries; some 300 bytes each. The blob always does.
    bool keep_entries = true;
};

struct Written {
    Digest blob;  // SHA-256 of the blob
    std::uint64_t blob_bytes = 0;
    Digest diff_id;  // SHA-256 of the uncompressed tar
    Toc toc;
};

// Opens the content of a regular file of the `after` tree. The source must deliver exactly
// entry.size bytes whose SHA-256 is entry.content, else the write fails with Corrupt naming the
// path.
using OpenContent =
    std::function<codec::Source(std::string_view path, const snapshot::Entry& entry)>;
// Reads files below a directory without following symlinks (an overlay upper, a build context).
OpenContent content_from_directory(const std::string& root);

// The layer that turns `before` into `after`, `changes` being diff::compare of the two, with or
// without whole subtrees. Members are in path order, whiteouts before their siblings; the
// directories above a change are stated even if they are as they were, for programs that unpack
// each layer by itself. A hardlink group's first name carries the data. Deterministic.
Written write_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                    const OpenContent& open, const WriteOptions& options, const codec::Sink& out);

// Wraps a foreign layer's tar stream, verbatim, into frames with a TOC. Hashes every file.
// `what` names the layer in errors.
Written reframe(codec::Source tar_stream, const std::string& what, const WriteOptions& options,
                const codec::Sink& out);

// The plain tar bytes of a blob, in order (of a framed one, the first Toc::tar_bytes).
codec::Source tar_stream(oci::BlobSource& blobs, const Digest& blob, const Toc& toc);

// ---------------------------------------------------------------------------------------------
// Reading.

// What a member other than a whiteout is in a tree, apart from its links. Attributes that speak to
// overlayfs (trusted.overlay.*, user.overlay.*) are left out: an archive may not forge them.
snapshot::EntrySpec entry_spec(const TocEntry& entry);

// `base` with the layer applied: whiteouts, opaque markers, replacements, hardlinks to members of
// this layer or of `base`. Corrupt if a hardlink target is missing or a name is impossible.
snapshot::Tree merge(const snapshot::Tree& base, const Toc& toc);

// Extracts a plain tar stream over `directory` with whiteouts applied, as root with full fidelity,
// otherwise as far as permitted. Every path is resolved beneath the directory; a link or ".." that
// would leave it is Corrupt and names the member. Directory times are set last.
void apply(codec::Source tar_stream, const std::string& what, const std::string& directory);
// Reads the same stream to its end without touching anything. Fails, as apply() would fail half-way
// whatever the directory holds, for members cut short, impossible names, a member below a file.
void check_members(codec::Source tar_stream, const std::string& what);

// Where the contents of one layer lie, by digest: what reading needs of a table of contents, 48
// bytes per content, in a form that can be kept in a file and used where it lies. Immutable. The
// file: docs/formats/store.md, "places".
class ContentTable {
  public:
    struct Range {
        std::uint64_t tar_offset = 0, size = 0;
    };
    struct Content {
        Digest digest;
        Range range;
    };
    // Of several contents with one digest the first counts.
    ContentTable(FrameTable frames, const std::vector<Content>& contents);
    explicit ContentTable(const Toc& toc);
    // Corrupt unless the file is whole and what bytes() gave.
    explicit ContentTable(Mapping file);
    ContentTable(const ContentTable&) = delete;
    ContentTable& operator=(const ContentTable&) = delete;

    std::optional<Range> find(const Digest& content) const;
    const FrameTable& frames() const { return frames_; }
    std::size_t size() const { return count_; }  // contents
    Bytes bytes() const { return bytes_; }

  private:
    Mapping file_;
    std::string memory_;  // the same, if there is no file
    Bytes bytes_;         // of either
    std::size_t count_ = 0;
    FrameTable frames_;
};

// Where the bytes of contents lie: content digest -> range of a layer's tar stream.
class ContentIndex {
  public:
    struct Place {
        Digest blob;
        std::shared_ptr<const ContentTable> layer;
        ContentTable::Range range;
    };
    // Earlier layers win for a content that several hold.
    void add(const Digest& blob, std::shared_ptr<const ContentTable> layer);
    void add(const Digest& blob, const Toc& toc);
    std::optional<Place> find(const Digest& content) const;

  private:
    struct Layer {
        Digest blob;
        std::shared_ptr<const ContentTable> table;  // shared with whoever else reads the layer
    };
    std::vector<Layer> layers_;
};

// Reads contents through frames, keeping recently used decompressed frames. Safe from any thread;
// concurrent readers of one frame share one fetch. Throws Corrupt if a frame fails its checksum.
class ContentReader {
  public:
    ContentReader(ContentIndex index, oci::BlobSource& blobs,
                  std::uint64_t cache_bytes = 128ull << 20);
    ~ContentReader();
    // Bytes [offset, offset+out.size()) of the content, cut at its end; returns how many.
    // NotFound if no layer of the index holds it. The empty content always reads as empty.
    std::size_t read(const Digest& content, std::uint64_t offset, MutableBytes out);
    codec::Source open(const Digest& content);  // the reader must outlive the source
    const ContentIndex& index() const;
    struct Stats {
        std::uint64_t frames_fetched = 0, frames_from_cache = 0, blob_bytes_read = 0;
    };
    Stats stats() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::layer
