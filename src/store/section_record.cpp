#include "section_record.hpp"

#include <cstring>

namespace shale::store {

namespace {

constexpr std::size_t kGroupBytes = sizeof(Digest::bytes) + 8 + 4 + 4, kGapBytes = 4 + 8;
constexpr std::size_t kFixedBytes = 4 * sizeof(Digest::bytes) + 4 * 8 + 2 * 4;
constexpr std::size_t kChecksumBytes = 8;

void put(std::string& out, const Digest& digest) {
    out.append(as_text(std::as_bytes(std::span(digest.bytes))));
}

Digest take_digest(ByteReader& reader) {
    Digest digest;
    std::memcpy(digest.bytes.data(), reader.take(digest.bytes.size()).data(), digest.bytes.size());
    return digest;
}

}  // namespace

std::string encode_section(const layer::StoredSection& section) {
    std::string out;
    out.reserve(kFixedBytes + section.groups.size() * kGroupBytes +
                section.gaps.size() * kGapBytes + kChecksumBytes);
    for (const Digest& digest : {section.nodes, section.next, section.text, section.digests})
        put(out, digest);
    for (const std::uint64_t number :
         {section.text_bytes, section.gap_behind, section.directory_bytes, section.group_bytes})
        put_little(out, number);
    put_little(out, static_cast<std::uint32_t>(section.groups.size()));
    put_little(out, static_cast<std::uint32_t>(section.gaps.size()));
    for (const auto& group : section.groups) {
        put(out, group.key);
        put_little(out, group.tar_bytes);
        put_little(out, group.members);
        put_little(out, std::uint32_t{group.ends_in_large});
    }
    for (const auto& gap : section.gaps) {
        put_little(out, gap.content);
        put_little(out, gap.bytes);
    }
    put_little(out, codec::xxh3_64(as_bytes(out)));
    return out;
}

std::optional<layer::StoredSection> decode_section(Bytes record) {
    if (record.size() < kFixedBytes + kChecksumBytes) return std::nullopt;
    const Bytes checked = record.first(record.size() - kChecksumBytes);
    ByteReader reader(record, "section record");
    layer::StoredSection section;
    for (Digest* digest : {&section.nodes, &section.next, &section.text, &section.digests})
        *digest = take_digest(reader);
    for (std::uint64_t* number :
         {&section.text_bytes, &section.gap_behind, &section.directory_bytes, &section.group_bytes})
        *number = reader.u64();
    const std::size_t groups = reader.u32(), gaps = reader.u32();
    if (checked.size() - kFixedBytes != groups * kGroupBytes + gaps * kGapBytes)
        return std::nullopt;
    for (std::size_t i = 0; i < groups; ++i) {
        layer::StoredSection::Group group;
        group.key = take_digest(reader);
        group.tar_bytes = reader.u64();
        group.members = reader.u32();
        group.ends_in_large = reader.u32() != 0;
        section.groups.push_back(group);
    }
    for (std::size_t i = 0; i < gaps; ++i) {
        const std::uint32_t content = reader.u32();
        section.gaps.push_back({content, reader.u64()});
    }
    if (reader.u64() != codec::xxh3_64(checked)) return std::nullopt;
    return section;
}

}  // namespace shale::store
