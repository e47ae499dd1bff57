// write_layer: changes -> members -> groups -> frames.
//
// One thread, MemberFeed, plans members and collects them until their frame is complete, so that
// its key is known before anything is read. The calling thread takes the frame from the store if it
// is there, and no file of it is opened; else it builds the frame's tar: headers, and contents read
// straight into the frame buffer. Everything downstream of the buffer (compression, digests of
// contents, DiffID and blob, sink) happens on the pipeline's threads.
//
// A large content has frames of its own, cut where its bytes say so (codec::Chunker); if its digest
// is known from an earlier layer, so are its chunks, in order. Otherwise it is read, and each chunk
// may still be one that an earlier version of the file had.
#include "frame_builder.hpp"
#include "member_feed.hpp"

#include <shale/chunker.hpp>

#include <fmt/format.h>

#include <array>

namespace shale::layer {

namespace {

constexpr std::array<std::byte, tar::kTrailerBytes> kZeros{};
// One read of a large content: enough to be efficient, and what is read beyond a chunk is copied.
constexpr std::uint64_t kReadBytes = 128 << 10;
// Chunks of large contents are larger than groups: they compress better, and nobody reads a few
// kilobytes of many large files.
constexpr std::uint64_t kChunkFactor = 4;

using snapshot::NodeId;

class LayerWriter {
  public:
    LayerWriter(const snapshot::Tree& after, const OpenContent& open, const WriteOptions& options,
                FrameStore* store, const codec::Sink& out)
        : after_(after), open_(open), options_(options), store_(store),
          builder_(options, out, store,
                   [this](const JobContent& content, const Digest& found) {
                       reject(content.node, fmt::format("{} where the tree says {}", found.str(),
                                                        content.expected.str()));
                   }),
          keys_(options) {}

    Rewritten write(const std::vector<diff::Change>& changes) {
        std::size_t members = 0;
        for (const auto& change : changes)
            members += change.with_all_below ? after_.end(change.after) - change.after : 1;
        builder_.expect(members);
        std::vector<std::pair<Digest, StoredSection>> sections;
        std::uint64_t members_reused = 0;
        {
            MemberFeed feed(changes, after_, options_, builder_, store_);
            while (auto group = feed.next()) {
                SHALE_ENSURE(group->tar_offset == builder_.tar_offset());
                write_group(*group);
                if (group->large != snapshot::kNoNode) write_large(group->large);
            }
            sections = feed.take_sections();
            members_reused = feed.members_reused();
        }
        Rewritten rewritten = builder_.finish();
        rewritten.sections = std::move(sections);
        rewritten.stats.files_opened = files_opened_;
        rewritten.stats.members_reused = members_reused;
        return rewritten;
    }

  private:
    void write_group(FrameGroup& group) {
        if (reuse(group.key, group.tar_bytes)) return;
        if (group.first != snapshot::kNoNode) plan_members(group, after_, options_);
        builder_.room_in_frame(static_cast<std::size_t>(group.tar_bytes));  // grows once
        for (const auto& member : group.members) {
            builder_.append(as_bytes(member.header));
            if (!member.content.is_zero()) write_small(member.node);
        }
        if (group.ends_archive) builder_.append(kZeros);
        builder_.cut({group.key});
    }

    bool reuse(const Digest& key, std::uint64_t tar_bytes) {
        if (store_ == nullptr) return false;
        const auto stored = store_->find(key);
        return stored && stored->frame.tar_bytes == tar_bytes &&
               builder_.append_stored(*store_, *stored, key);
    }

    void write_small(NodeId node) {
        const snapshot::Entry entry = after_.entry(node);
        read_small(node, entry);
        builder_.append(Bytes(kZeros).first(tar::padding(entry.size)));
    }

    void read_small(NodeId node, const snapshot::Entry& entry) {
        const codec::Source source = open(node, entry);
        const auto size = static_cast<std::size_t>(entry.size);
        builder_.note_content({builder_.frame_content().size(), size, node, entry.content});
        const MutableBytes room = builder_.room_in_frame(size);
        for (std::size_t filled = 0; filled < room.size();) {
            const std::size_t got = checked_read(source, room.subspan(filled));
            if (got == 0) reject_short(node, room.size() - filled, entry.size);
            filled += got;
        }
        builder_.commit_in_frame(size);
        expect_end(node, entry, source);
    }

    void write_large(NodeId node) {
        const snapshot::Entry entry = after_.entry(node);
        const std::uint64_t done = reuse_chunks(entry);
        if (done < entry.size + tar::padding(entry.size)) read_large(node, entry, done);
    }

    // All chunks, from an earlier layer that held the same content. Returns how many bytes of tar
    // were written: all, or fewer if a frame turned out to be damaged.
    std::uint64_t reuse_chunks(const snapshot::Entry& entry) {
        if (store_ == nullptr) return 0;
        const std::uint64_t wanted = entry.size + tar::padding(entry.size);
        std::vector<StoredFrame> chunks;
        for (std::uint64_t known = 0; known < wanted;) {
            const auto found = store_->find(keys_.chunk(entry.content, chunks.size()));
            if (!found || found->frame.tar_bytes == 0 || found->frame.tar_bytes > wanted - known)
                return 0;
            known += found->frame.tar_bytes;
            chunks.push_back(*found);
        }
        std::uint64_t done = 0;
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            if (!builder_.append_stored(*store_, chunks[i], keys_.chunk(entry.content, i))) break;
            done += chunks[i].frame.tar_bytes;
        }
        return done;
    }

    // The chunks of a content from its bytes, except those within the first `done` bytes.
    void read_large(NodeId node, const snapshot::Entry& entry, std::uint64_t done) {
        const codec::Source source = open(node, entry);
        codec::Chunker chunker(kChunkFactor * options_.frame_bytes);
        Chunks chunks{node, entry, done};
        for (std::uint64_t left = entry.size; left > 0;) {
            const MutableBytes room =
                builder_.room_in_frame(static_cast<std::size_t>(std::min(left, kReadBytes)));
            const std::size_t got = checked_read(source, room);
            if (got == 0) reject_short(node, left, entry.size);
            builder_.commit_in_frame(got);
            left -= got;
            for (Bytes fresh = Bytes(room).first(got); !fresh.empty();) {
                fresh = fresh.subspan(chunker.take(fresh));
                const bool is_last = fresh.empty() && left == 0;
                if (chunker.is_complete() && !is_last) fresh = end_chunk(chunks, fresh.size());
            }
        }
        expect_end(node, entry, source);
        builder_.append(Bytes(kZeros).first(tar::padding(entry.size)));
        end_chunk(chunks, 0);
    }

    struct Chunks {
        NodeId node;
        const snapshot::Entry& entry;
        std::uint64_t done;
        std::uint64_t ordinal = 0, at = 0;
        // Of the chunks within `done`, until the first one behind them.
        std::optional<codec::Sha256Stream> hash = codec::Sha256Stream();
    };

    // Closes the current frame before its last `rest` bytes, which it returns.
    Bytes end_chunk(Chunks& chunks, std::size_t rest) {
        const std::size_t bytes = builder_.frame_content().size() - rest;
        const std::uint64_t ordinal = chunks.ordinal++, at = chunks.at;
        chunks.at += bytes;
        if (at < chunks.done) {
            if (chunks.at > chunks.done)
                fail(ErrorKind::Corrupt, "the frame store holds chunks of another content");
            chunks.hash->update(builder_.frame_content().first(bytes));
            return builder_.drop_before(rest);
        }
        const auto left = static_cast<std::size_t>(chunks.entry.size - at);
        builder_.note_content({.at = 0,
                               .bytes = std::min(bytes, left),
                               .node = chunks.node,
                               .expected = chunks.entry.content,
                               .is_whole = false,
                               .is_last = bytes >= left},
                              std::exchange(chunks.hash, std::nullopt));
        const Digest similar = keys_.similar(builder_.frame_content().first(bytes));
        if (store_ != nullptr)
            if (const auto stored = store_->find(similar))
                builder_.pack_from(*store_, *stored, rest);
        return builder_.cut_before(rest, {keys_.chunk(chunks.entry.content, ordinal), similar});
    }

    codec::Source open(NodeId node, const snapshot::Entry& entry) {
        ++files_opened_;
        return open_(after_.path(node), entry);
    }

    void expect_end(NodeId node, const snapshot::Entry& entry, const codec::Source& source) const {
        std::byte extra;
        if (source({&extra, 1}) != 0) reject(node, fmt::format("longer than {} bytes", entry.size));
    }

    static std::size_t checked_read(const codec::Source& source, MutableBytes room) {
        const std::size_t got = source(room);
        SHALE_ENSURE(got <= room.size());
        return got;
    }

    [[noreturn]] void reject_short(NodeId node, std::uint64_t missing, std::uint64_t size) const {
        reject(node, fmt::format("{} bytes short of {}", missing, size));
    }

    [[noreturn]] void reject(NodeId node, const std::string& how) const {
        fail(ErrorKind::Corrupt,
             fmt::format("'{}' is not the file that was scanned: {}", after_.path(node), how));
    }

    const snapshot::Tree& after_;
    const OpenContent& open_;
    const WriteOptions& options_;
    FrameStore* const store_;  // or null
    FrameBuilder builder_;
    FrameKeys keys_;
    std::uint64_t files_opened_ = 0;
};

}  // namespace

Rewritten rewrite_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                        const OpenContent& open, const WriteOptions& options, FrameStore* store,
                        const codec::Sink& out) {
    return LayerWriter(after, open, options, store, out).write(changes);
}

Written write_layer(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                    const OpenContent& open, const WriteOptions& options, const codec::Sink& out) {
    return rewrite_layer(changes, after, open, options, nullptr, out).written;
}

}  // namespace shale::layer
