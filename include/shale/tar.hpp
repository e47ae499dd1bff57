// tar: one member at a time, in and out. Encoding is ours, because a layer's bytes must be the same
// on every machine and run; decoding uses libarchive, which lives only in src/tar.
//
// Encoder: POSIX ustar header, PAX extended header only when a field does not fit (long names,
// ids above 2097151, sizes above 8 GiB, sub-second or negative times, xattrs as SCHILY.xattr.*).
// No uname/gname, no atime/ctime. End of archive is exactly two zero blocks.
//
// Decoder: names are bytes; "./" and leading "/" are stripped; a ".." component is reported, not
// resolved, as Corrupt: `archive member "../x" escapes the root`. The reader never touches disk.
// Times outside what 64 bits of nanoseconds hold are clamped. ACLs in textual form (SCHILY.acl.*,
// of GNU tar, star and bsdtar) become xattrs, system.posix_acl_*; one that names a user or group by
// name alone is left out, and the group's bits of the mode then are the owning group's own.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace shale::tar {

enum class MemberType { Regular, Hardlink, Symlink, Directory, CharDevice, BlockDevice, Fifo };

struct Member {
    std::string path;  // relative, no trailing slash; "" is the root directory itself
    MemberType type = MemberType::Regular;
    std::uint32_t mode = 0;  // 07777 bits
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;  // content bytes, regular files only
    std::int64_t mtime_ns = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::string link_target;    // symlink: as is; hardlink: path of the earlier member, relative
    std::vector<Xattr> xattrs;  // sorted by name
    bool operator==(const Member&) const = default;
};

// What the decoder accepts as one name, which a whiteout's prefix may precede, and as one path. The
// kernel's own limit for a name; for paths four times PATH_MAX, since a tree may be deeper than one
// system call can name.
inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::size_t kMaxPathBytes = 16 << 10;

// Bytes of the header block(s) of `member`, ready to be followed by content and padding(). Invalid
// if a path holds a NUL or is absolute; Unsupported if its xattrs exceed 1 MiB.
std::string encode_header(const Member& member);
constexpr std::uint64_t padding(std::uint64_t content_bytes) {
    return (512 - content_bytes % 512) % 512;
}
inline constexpr std::uint64_t kTrailerBytes = 1024;

// ---------------------------------------------------------------------------------------------

using Source = std::function<std::size_t(MutableBytes)>;  // 0 = end

// Sequential reader of a plain (already decompressed) tar stream, any dialect libarchive knows.
class Reader {
  public:
    // `what` names the stream in errors.
    Reader(Source source, std::string what);
    Reader(Reader&&) noexcept;
    ~Reader();

    // The next member, or nullopt at the end of archive. Corrupt with the stream offset otherwise.
    // Sparse members are presented dense. What is no file (GNU volume labels) is skipped.
    std::optional<Member> next();
    // Content of the current regular member; 0 at its end. Corrupt if it is not `size` bytes.
    std::size_t read(MutableBytes out);
    // Offset in the tar stream of the current member's first header and of its content, in bytes.
    std::uint64_t header_offset() const;
    std::uint64_t content_offset() const;
    // True if the member's content lies in the stream as `size` contiguous bytes at
    // content_offset() (not a sparse encoding), so that a TOC may point at it. A header that claims
    // so falsely is found out by read(), at the content's end.
    bool content_is_contiguous() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// True if the first bytes look like a tar header with a valid checksum. `head` holds >= 512 bytes
// of the decompressed stream; shorter input is never an archive.
bool looks_like_tar(Bytes head);

// Whiteouts (OCI image-spec layer.md).
inline constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::size_t most_name_bytes(std::string_view name) {
    return kMaxNameBytes + (name.starts_with(kWhiteoutPrefix) ? kWhiteoutPrefix.size() : 0);
}
inline constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
enum class WhiteoutKind { None, Whiteout, Opaque };
struct Whiteout {
    WhiteoutKind kind = WhiteoutKind::None;
    std::string path;  // Whiteout: the path removed; Opaque: the directory made opaque
};
// Corrupt for a whiteout of nothing (".wh.", ".wh..", ".wh...") and for a member below a whiteout.
// Other ".wh..wh.*" names (aufs leftovers) and all below them are Whiteout of path "", which
// callers skip.
Whiteout classify_whiteout(std::string_view member_path);

}  // namespace shale::tar
