#include "section.hpp"

#include "hash_fields.hpp"
#include "toc_fields.hpp"

namespace shale::layer {

namespace {

using snapshot::NodeId;

// Of the members that begin a group, one in so many is chosen.
constexpr std::uint64_t kCandidates = 8;

void put_text(codec::Sha256Stream& hash, std::string_view text) {
    put(hash, std::uint64_t{text.size()});
    hash.update(as_bytes(text));
}

enum class Part : std::uint8_t { Within, Subtree, Directory };

// Of a directory that is not in the range with all that is below it.
void put_attributes(codec::Sha256Stream& hash, const snapshot::Entry& entry) {
    put(hash, entry.mode);
    put(hash, entry.uid);
    put(hash, entry.gid);
    put(hash, entry.mtime_ns);
    put(hash, std::uint64_t{entry.xattrs.size()});
    for (const Xattr& xattr : entry.xattrs) {
        put_text(hash, xattr.name);
        put_text(hash, xattr.value);
    }
}

}  // namespace

bool SectionRule::ends_before(std::string_view path, std::uint64_t text_bytes) const {
    if (text_bytes < least_) return false;
    return text_bytes >= 4 * least_ || codec::xxh3_64(as_bytes(path)) % kCandidates == 0;
}

Digest nodes_digest(const snapshot::Tree& tree, NodeId first, NodeId end) {
    codec::Sha256Stream hash;
    put(hash, std::uint64_t{end - first});
    NodeId parent = tree.parent(first);  // whose path is known
    for (NodeId node = first; node < end;) {
        if (const NodeId above = tree.parent(node); above != parent) {
            parent = above;
            put(hash, Part::Within);
            put_text(hash, tree.path(parent));
        }
        const NodeId behind = tree.end(node);
        put(hash, behind <= end ? Part::Subtree : Part::Directory);
        put_text(hash, tree.name(node));
        if (behind <= end) {
            put(hash, tree.digest(node));
            node = behind;
        } else {
            put_attributes(hash, tree.entry(node));
            ++node;
        }
    }
    return hash.finish();
}

Digest next_digest(const tar::Member& member, std::uint64_t tar_bytes) {
    codec::Sha256Stream hash;
    put_text(hash, member.path);
    put(hash, tar_bytes);
    put(hash, member.type == tar::MemberType::Directory);
    return hash.finish();
}

OpenSection::OpenSection(const Beginning& beginning, const FrameKeys& keys)
    : place_(keys.section(beginning.path, beginning.is_first, beginning.gap,
                          beginning.directory_bytes)),
      first_(beginning.node), end_(beginning.node), is_plain_(beginning.node != snapshot::kNoNode),
      first_content_(beginning.contents), text_(keys.text(beginning.is_first, beginning.gap)) {}

void OpenSection::add(NodeId node, bool is_hard_link, std::optional<std::uint64_t> gap) {
    is_plain_ = is_plain_ && node == end_ && !is_hard_link;
    if (is_plain_) ++end_;
    if (gap && *gap != kUsualGap) stored_.gaps.push_back({contents_, *gap});
    if (gap) ++contents_;
}

void OpenSection::add(const StoredSection::Group& group, const Digest& large) {
    text_.add(group.key);
    if (group.ends_in_large) text_.add(large);
    stored_.groups.push_back(group);
}

StoredSection OpenSection::finish(const snapshot::Tree& tree) {
    stored_.nodes = nodes_digest(tree, first_, end_);
    return std::move(stored_);
}

std::optional<std::vector<ContentTable::Content>>
contents_of(const StoredSection& section, const snapshot::Tree& tree, NodeId first,
            std::uint64_t tar_offset, std::uint64_t gap) {
    std::vector<ContentTable::Content> contents;
    std::uint64_t end = tar_offset - gap;  // of the content before
    std::uint64_t groups_end = tar_offset;
    auto unusual = section.gaps.begin();
    NodeId node = first;
    for (const auto& group : section.groups) {
        if (group.members == 0) return std::nullopt;
        for (std::uint32_t i = 0; i < group.members; ++i, ++node) {
            const snapshot::Entry entry = tree.entry(node);
            if (entry.type != FileType::Regular || entry.size == 0) continue;
            std::uint64_t before = kUsualGap;
            if (unusual != section.gaps.end() && unusual->content == contents.size())
                before = (unusual++)->bytes;
            contents.push_back({entry.content, {end + before, entry.size}});
            end += before + entry.size + tar::padding(entry.size);
        }
        groups_end += group.tar_bytes;
        if (group.ends_in_large) {
            const auto size = tree.entry(node - 1).size;  // 0 but for files
            if (size == 0) return std::nullopt;
            groups_end += size + tar::padding(size);
        }
    }
    if (unusual != section.gaps.end() || groups_end - end != section.gap_behind)
        return std::nullopt;
    return contents;
}

}  // namespace shale::layer
