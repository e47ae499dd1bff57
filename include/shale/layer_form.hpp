// layer: the forms in which a layer travels. The framed zstd of layer.hpp is the default; these are
// the others that builders write and registries hold.
//
//   uncompressed, gzip, zstd-plain   one stream around the tar, as it is
//   zstd                             frames and a TOC of ours (layer.hpp)
//   zstd:chunked                     podman's: a zstd frame for each file or chunk, TOC, tar-split
//   estargz                          stargz-snapshotter's: a gzip member for each file or chunk,
//                                    TOC as the archive's last member
//   zstd:stargz                      its form for zstd: a frame for each file or chunk, TOC; podman
//                                    of the first generation reads it, too
//
// Same members, same bytes, on any number of threads. Free functions, safe from any thread.
// Formats: containers/storage pkg/chunked, containerd/stargz-snapshotter docs/estargz.md;
// docs/formats/layer.md says what of them is written here.
#pragma once

#include <shale/layer.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shale::layer {

// Members by which an eStargz says what of it comes first: all before the landmark is read when a
// container starts, or nothing is. They are files of the image like others.
inline constexpr std::string_view kPrefetchLandmark = ".prefetch.landmark";
inline constexpr std::string_view kNoPrefetchLandmark = ".no.prefetch.landmark";

enum class Form { Uncompressed, Gzip, EStargz, Zstd, ZstdPlain, ZstdChunked, ZstdStargz };

std::string_view form_name(Form form);
// Invalid, listing the known ones.
Form parse_form(std::string_view name);
// "estargz, gzip, ...", for help texts.
std::string form_names();
oci::Compression compression_of(Form form);
// What names a layer of that compression has when no more is known about it.
Form plain_form(oci::Compression compression);

// zstd's are -7..22, 0 being zstd's own default; gzip's 0..9.
struct Levels {
    int lowest = 0, highest = 0, standard = 0;
};
std::optional<Levels> levels_of(Form form);  // nullopt: uncompressed has none
// The level, or the standard one. Invalid if the form has no such level.
int checked_level(Form form, std::optional<int> level);

struct FormOptions {
    Form form = Form::Zstd;
    std::optional<int> level;
    unsigned threads = 0;  // both as WriteOptions have them
    std::uint64_t memory_bytes = kWriterMemory;
};

struct Formed {
    Digest blob;  // SHA-256 of the blob
    std::uint64_t blob_bytes = 0;
    Digest diff_id;  // SHA-256 of the uncompressed tar
    std::uint64_t tar_bytes = 0;
    oci::Annotations annotations;  // what a descriptor of the blob must say to be of use
};

// A tar as it is, in any form that is not seekable in the sense below. `what` names it in errors.
Formed compress_tar(const codec::Source& tar, const std::string& what, const FormOptions& options,
                    const codec::Sink& out);

// Made of members rather than of a tar: each content is compressed by itself.
constexpr bool is_seekable(Form form) {
    return form == Form::EStargz || form == Form::ZstdChunked || form == Form::ZstdStargz;
}

// A seekable form, headers written anew (content_offset of the members means nothing).
// `open` gives the content of a member that has one: exactly its size and digest, else Corrupt.
// EStargz adds members: its landmark and its TOC. Unsupported, naming it, for a path or link that
// is not UTF-8, which these TOCs cannot hold.
using OpenMember = std::function<codec::Source(const TocEntry& member)>;
Formed write_seekable(const std::vector<TocEntry>& members, const OpenMember& open,
                      const FormOptions& options, const codec::Sink& out);
// The same for the layer that write_layer() would write.
Formed write_seekable(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                      const OpenContent& open, const FormOptions& options, const codec::Sink& out);

// The table of contents of a layer of any form that has one: ours, zstd:chunked of either
// generation, eStargz. nullopt if it has none. With a table, contents are read out of the blob
// where it lies, by a ContentIndex and a ContentReader; a range reader over HTTP does as
// BlobSource, and `layer.size` spares it the question for the size.
//
// Corrupt, naming entry or offset, if the table is impossible, or has not the digest that the
// descriptor's annotations give; Unsupported if contents lack digests, or a piece is larger than
// kMaxPieceBytes. A foreign table is a claim about the tar: it is true to the manifest's author if
// an annotation names its digest, and to the tar only if somebody compared the two.
inline constexpr std::uint64_t kMaxPieceBytes = 64 << 20;
std::optional<Toc> read_layer_toc(oci::BlobSource& blobs, const oci::Descriptor& layer);
// True if one of the annotations that read_layer_toc() compares with a foreign table is there.
bool states_foreign_toc(const oci::Descriptor& layer);
// Corrupt unless `packed`, bytes of a blob, decompress to all that the table says of these pieces.
// They begin where `packed` does, each with its skip; the order does not matter.
void check_pieces(const FrameTable& table, std::span<const std::size_t> pieces, Bytes packed);

// For a manifest to vouch for the table of a framed layer (kAnnotationTocDigest and -Bytes): writes
// the two annotations, or takes them out if the blob has no table or no sound one. The blob must be
// in `blobs`, with the descriptor's size.
void vouch_for_toc(oci::BlobSource& blobs, oci::Descriptor& layer);
bool is_toc_annotation(std::string_view name);  // one of the two

}  // namespace shale::layer
