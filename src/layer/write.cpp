// write_layer: changes -> members -> frames.
//
// The calling thread builds the tar: headers, and contents read straight into the frame buffer,
// hashed there per file. Everything downstream of the buffer (compression, DiffID, blob digest,
// sink) happens on the pipeline's threads.
//
// Frame boundaries serve random access. Small members share a frame, closed at the first member
// boundary past frame_bytes. The content of a file larger than frame_bytes starts a frame of its
// own and is cut every frame_bytes, so that a read within it touches as few frames as possible.
#include "frame_builder.hpp"
#include "member_plan.hpp"

#include <fmt/format.h>

#include <array>

namespace shale::layer {

namespace {

constexpr std::array<std::byte, tar::kTrailerBytes> kZeros{};

class LayerWriter {
  public:
    LayerWriter(const snapshot::Tree& after, const OpenContent& open, const WriteOptions& options,
                const codec::Sink& out)
        : after_(after), open_(open), plan_(after), builder_(options, out) {}

    void write(const diff::Change& change) {
        TocEntry entry;
        entry.member = plan_.member(change);
        builder_.append(as_bytes(tar::encode_header(entry.member)));
        if (entry.member.type == tar::MemberType::Regular) {
            entry.content =
                entry.member.size == 0 ? empty_content_ : after_.entry(change.after).content;
            if (entry.member.size > builder_.frame_bytes()) builder_.cut();
            entry.content_offset = builder_.tar_offset();
            if (change.after != snapshot::kNoNode) write_content(change, entry.member.size);
        }
        builder_.cut_if_full();
        entries_.push_back(std::move(entry));
    }

    Written finish() {
        builder_.append(kZeros);
        return builder_.finish(std::move(entries_));
    }

  private:
    void write_content(const diff::Change& change, std::uint64_t size) {
        const snapshot::Entry entry = after_.entry(change.after);
        const codec::Source source = open_(change.path, entry);
        const bool large = size > builder_.frame_bytes();
        for (std::uint64_t left = size; left > 0;) {
            const std::uint64_t got = large ? copy_some(source, left) : copy_whole(source, left);
            if (got == 0) reject(change, fmt::format("{} bytes short of {}", left, size));
            left -= got;
        }
        std::byte extra;
        if (source({&extra, 1}) != 0) reject(change, fmt::format("longer than {} bytes", size));
        const Digest content = hash_.finish();
        if (content != entry.content)
            reject(change,
                   fmt::format("{} where the tree says {}", content.str(), entry.content.str()));
        builder_.append(Bytes(kZeros).first(tar::padding(size)));
    }

    // One read of a large content, into what is left of the frame.
    std::uint64_t copy_some(const codec::Source& source, std::uint64_t left) {
        const MutableBytes room = builder_.room(left);
        const std::size_t got = checked_read(source, room);
        hash_.update(Bytes(room).first(got));
        builder_.commit(got);
        return got;
    }

    // A small content stays in one frame, hashed in one piece.
    std::uint64_t copy_whole(const codec::Source& source, std::uint64_t left) {
        const MutableBytes room = builder_.room_in_frame(static_cast<std::size_t>(left));
        std::size_t filled = 0;
        while (filled < room.size()) {
            const std::size_t got = checked_read(source, room.subspan(filled));
            if (got == 0) return 0;
            filled += got;
        }
        hash_.update(room);
        builder_.commit_in_frame(filled);
        return filled;
    }

    static std::size_t checked_read(const codec::Source& source, MutableBytes room) {
        const std::size_t got = source(room);
        SHALE_ENSURE(got <= room.size());
        return got;
    }

    [[noreturn]] static void reject(const diff::Change& change, const std::string& how) {
        fail(ErrorKind::Corrupt,
             fmt::format("'{}' is not the file that was scanned: {}", change.path, how));
    }

    const snapshot::Tree& after_;
    const OpenContent& open_;
    const Digest empty_content_ = codec::sha256("");
    MemberPlan plan_;
    FrameBuilder builder_;
    codec::Sha256 hash_;
    std::vector<TocEntry> entries_;
};

}  // namespace

Written write_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                    const OpenContent& open, const WriteOptions& options, const codec::Sink& out) {
    LayerWriter writer(after, open, options, out);
    for (const diff::Change* change : member_order(changes))
        writer.write(*change);
    return writer.finish();
}

}  // namespace shale::layer
