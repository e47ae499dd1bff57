// A foreign tar, verbatim, into frames: one pass over the stream, tapped on its way to the decoder.
//
// The bytes that the tar reader pulls go into frames as they are, so the DiffID stays that of the
// original, trailing padding included. The members that the reader reports become the table of
// contents. A sparse member's content does not lie in the tar as it is read; its expansion goes
// beside the tar, into side frames.
#include "frame_builder.hpp"
#include "supersede.hpp"
#include "toc_check.hpp"

#include <fmt/format.h>

#include <array>

namespace shale::layer {

namespace {

constexpr std::size_t kReadBytes = 128 << 10;

// What a member takes in the table of contents at least.
std::uint64_t described_bytes(const tar::Member& member) {
    std::uint64_t bytes = member.path.size() + member.link_target.size();
    for (const auto& xattr : member.xattrs)
        bytes += xattr.name.size() + xattr.value.size();
    return bytes;
}

class Reframer {
  public:
    Reframer(codec::Source stream, const std::string& what, const WriteOptions& options,
             const codec::Sink& out)
        : what_(what), stream_(std::move(stream)), builder_(options, out),
          reader_([this](MutableBytes into) { return tap(into); }, what) {}

    Written run() {
        while (auto member = reader_.next())
            add(std::move(*member));
        std::array<std::byte, kReadBytes> rest;  // padding after the end of the archive
        while (tap(rest) > 0) {
        }
        for (TocEntry& entry : without_superseded(std::move(entries_)))
            builder_.describe(std::move(entry));
        return builder_.finish().written;
    }

  private:
    std::size_t tap(MutableBytes into) {
        const std::size_t got = stream_(into);
        builder_.append_stream(Bytes(into).first(got));
        return got;
    }

    void add(tar::Member member) {
        described_bytes_ += described_bytes(member);
        if (entries_.size() == kMaxEntries || described_bytes_ > kMaxTocBytes)
            fail(ErrorKind::Unsupported, what_ + ": too many members, or too much about them");
        TocEntry entry;
        entry.member = std::move(member);
        if (entry.member.type == tar::MemberType::Regular) {
            const bool beside = !reader_.content_is_contiguous();
            entry.content_offset = beside ? builder_.side_offset() : reader_.content_offset();
            entry.content = hash_content(beside);
        }
        entries_.push_back(std::move(entry));
    }

    Digest hash_content(bool beside) {
        while (const std::size_t got = reader_.read(buffer_)) {
            const Bytes piece = Bytes(buffer_).first(got);
            hash_.update(piece);
            if (beside) builder_.append_side(piece);
        }
        return hash_.finish();
    }

    const std::string& what_;
    codec::Source stream_;
    FrameBuilder builder_;
    tar::Reader reader_;
    codec::Sha256 hash_;
    std::array<std::byte, kReadBytes> buffer_;
    std::vector<TocEntry> entries_;
    std::uint64_t described_bytes_ = 0;
};

}  // namespace

Written reframe(codec::Source tar_stream, const std::string& what, const WriteOptions& options,
                const codec::Sink& out) {
    return std::make_unique<Reframer>(std::move(tar_stream), what, options, out)->run();
}

}  // namespace shale::layer
