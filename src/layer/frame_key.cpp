#include "frame_key.hpp"

#include "hash_fields.hpp"

namespace shale::layer {

namespace {

// Changes whenever the same members would be cut, encoded or described differently.
constexpr std::string_view kScheme = "shale frame 1\n";

enum class Part : std::uint8_t {
    Member,
    EndOfArchive,
    Chunk,
    Similar,
    Section,
    Text,
    Digests,
};

}  // namespace

FrameKeys::FrameKeys(const WriteOptions& options) {
    seed_.update(as_bytes(kScheme));
    put(seed_, std::uint64_t{codec::zstd_version()});
    put(seed_, static_cast<std::uint64_t>(options.level));
    put(seed_, std::uint64_t{options.frame_bytes});
}

void FrameKeys::Group::add(std::string_view header, const Digest& content) {
    put(hash_, Part::Member);
    put(hash_, std::uint64_t{header.size()});
    hash_.update(as_bytes(header));
    put(hash_, content);
}

void FrameKeys::Group::add_end_of_archive() {
    put(hash_, Part::EndOfArchive);
}

Digest FrameKeys::section(std::string_view path, bool is_first, std::uint64_t gap,
                          std::uint64_t directory_bytes) const {
    codec::Sha256Stream hash(seed_);
    put(hash, Part::Section);
    put(hash, std::uint64_t{is_first});
    put(hash, gap);
    put(hash, directory_bytes);
    hash.update(as_bytes(path));
    return hash.finish();
}

FrameKeys::Text FrameKeys::text(bool is_first, std::uint64_t gap) const {
    codec::Sha256Stream hash(seed_);
    put(hash, Part::Text);
    put(hash, std::uint64_t{is_first});
    put(hash, gap);
    return Text(hash);
}

void FrameKeys::Text::add(const Digest& part) {
    put(hash_, part);
}

Digest FrameKeys::digests(std::span<const ContentTable::Content> contents) const {
    codec::Sha256Stream hash(seed_);
    put(hash, Part::Digests);
    for (const auto& content : contents)
        put(hash, content.digest);
    return hash.finish();
}

Digest FrameKeys::chunk(const Digest& content, std::uint64_t ordinal) const {
    codec::Sha256Stream hash(seed_);
    put(hash, Part::Chunk);
    put(hash, content);
    put(hash, ordinal);
    return hash.finish();
}

Digest FrameKeys::similar(Bytes chunk) const {
    const codec::Xxh128 bytes = codec::xxh3_128(chunk);
    codec::Sha256Stream hash(seed_);
    put(hash, Part::Similar);
    put(hash, std::uint64_t{chunk.size()});
    put(hash, bytes.low);
    put(hash, bytes.high);
    return hash.finish();
}

Digest FrameKeys::extend(const Digest& prefix, const Digest& key) {
    codec::Sha256Stream hash;
    put(hash, prefix);
    put(hash, key);
    return hash.finish();
}

}  // namespace shale::layer
