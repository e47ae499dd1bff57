// Sections: stretches of a layer that a later one takes over whole (StoredSection).
//
// A section ends where a group does, so that its members fall into frames by themselves, and the
// table of contents is cut at the same places, so that it falls into frames there, too. As with
// groups, the place is chosen by the path of the member behind it, and an edit moves few of them.
#pragma once

#include "frame_key.hpp"
#include "member_group.hpp"

#include <shale/frame_store.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace shale::layer {

// Ends one that has as many bytes of text in the table of contents as a frame has at least of tar;
// the latest at four times that.
class SectionRule {
  public:
    explicit SectionRule(std::uint64_t least_text_bytes) : least_(least_text_bytes) {}
    // `path`: of a member that begins a group.
    bool ends_before(std::string_view path, std::uint64_t text_bytes) const;

  private:
    std::uint64_t least_;
};

// SHA-256 over all that the members of nodes [first, end) say, except what the path of the first
// one tells. Costs as much as there are subtrees in the range, not nodes. None of them may be a
// hard link; equal digests mean that none is.
Digest nodes_digest(const snapshot::Tree& tree, snapshot::NodeId first, snapshot::NodeId end);

// What decides whether the group before a member ends there: all that MemberGroups looks at.
Digest next_digest(const tar::Member& member, std::uint64_t tar_bytes);

// One that is being planned.
class OpenSection {
  public:
    // What its first member finds.
    struct Beginning {
        std::string_view path;
        snapshot::NodeId node = snapshot::kNoNode;  // of a whiteout
        bool is_first = false;                      // of the layer
        std::uint64_t gap = 0;                      // tar bytes since the content before
        std::uint64_t directory_bytes = 0;          // MemberGroups', behind that member
        std::size_t contents = 0;                   // of the layer, before the section
    };
    OpenSection(const Beginning& beginning, const FrameKeys& keys);

    const Digest& place() const { return place_; }
    // Members one after another. `gap`: before its content, if it has one.
    void add(snapshot::NodeId node, bool is_hard_link, std::optional<std::uint64_t> gap);
    // `large`: content of the last member, if that has frames of its own; else zero.
    void add(const StoredSection::Group& group, const Digest& large);

    // The keys of its pieces of the table of contents.
    Digest text() { return text_.finish(); }
    std::size_t first_content() const { return first_content_; }
    // Whether a later layer could take it over: it is nodes in a row, none of them a hard link, and
    // `next` follows them.
    bool can_be_stored(snapshot::NodeId next) const { return is_plain_ && next == end_; }
    // Without what the caller knows: text, digests, and what comes behind it.
    StoredSection finish(const snapshot::Tree& tree);

  private:
    Digest place_;
    snapshot::NodeId first_, end_;
    bool is_plain_;
    std::size_t first_content_;
    std::uint32_t contents_ = 0;
    FrameKeys::Text text_;
    StoredSection stored_;
};

// Where the contents of a stored section lie, whose nodes are [first, end) of `tree`, if it begins
// at `tar_offset`, `gap` bytes behind the content before. nullopt if it does not add up.
std::optional<std::vector<ContentTable::Content>>
contents_of(const StoredSection& section, const snapshot::Tree& tree, snapshot::NodeId first,
            std::uint64_t tar_offset, std::uint64_t gap);

}  // namespace shale::layer
