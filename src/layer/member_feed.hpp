// Changes -> groups of members, one thread ahead of whoever writes them.
#pragma once

#include "frame_builder.hpp"
#include "frame_key.hpp"
#include "member_group.hpp"
#include "member_plan.hpp"
#include "section.hpp"

#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace shale::layer {

// A member that is ready to be written.
struct PlannedMember {
    snapshot::NodeId node = snapshot::kNoNode;  // of a whiteout
    std::string header;
    Digest content;               // zero if it has none in its group's frame
    std::uint64_t tar_bytes = 0;  // there
};

// A content larger than this has frames of its own: groups hold about twice what they hold at
// least.
inline std::uint64_t largest_grouped(const WriteOptions& options) {
    return std::uint64_t{2} * options.frame_bytes;
}

// The members that one frame holds.
struct FrameGroup {
    std::vector<PlannedMember> members;
    // Of a section that was taken over, instead: the nodes of members that nobody planned.
    snapshot::NodeId first = snapshot::kNoNode, end = snapshot::kNoNode;
    Digest key;
    std::uint64_t tar_offset = 0, tar_bytes = 0;
    bool ends_archive = false;
    // The last member, if its content has frames of its own behind this one.
    snapshot::NodeId large = snapshot::kNoNode;
};

// Plans the members of a group that has nodes alone. DamagedFrame if they are not those of which
// its key is made.
void plan_members(FrameGroup& group, const snapshot::Tree& after, const WriteOptions& options);

// Plans members, encodes their headers, describes them to the table of contents and computes the
// keys of their frames, on a thread of its own; or finds that an earlier layer had the same section
// of the tree, and takes all of that from there. The references must outlive it; of the builder it
// uses the table of contents, and nothing else that touches that may be.
class MemberFeed {
  public:
    // `store`: where sections come from, or null.
    MemberFeed(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
               const WriteOptions& options, FrameBuilder& builder, FrameStore* store);
    ~MemberFeed();  // abandons what is left

    // In tar order; the last one ends the archive, then nullopt. Rethrows what stopped the thread.
    std::optional<FrameGroup> next();

    // When there are no more groups: what a FrameStore may remember, and how many members came from
    // it.
    std::vector<std::pair<Digest, StoredSection>> take_sections() { return std::move(sections_); }
    std::uint64_t members_reused() const { return members_reused_; }

  private:
    struct Candidate;

    void run(const std::vector<diff::Change>& changes);
    // One node, or, if a stored section begins with it, all nodes of that; returns the next one.
    // All nodes before `row_end` are members.
    snapshot::NodeId take(snapshot::NodeId node, snapshot::NodeId row_end);
    void take_removal(const diff::Change& removal);
    Candidate candidate(snapshot::NodeId node, MemberPlan& plan) const;
    // Closes what ends before it. True if a section begins with it.
    bool begin(const Candidate& member);
    void add(Candidate member);
    void end_group(bool ends_archive);
    void push(FrameGroup group);

    void end_section(const Candidate& next);
    void begin_section(const Candidate& first);
    snapshot::NodeId reuse_section(snapshot::NodeId first, snapshot::NodeId row_end);
    bool is_followed_by_same(const StoredSection& section, snapshot::NodeId end) const;
    void push_groups(const StoredSection& section, snapshot::NodeId first);

    const snapshot::Tree& after_;
    const WriteOptions& options_;
    FrameBuilder& builder_;
    FrameStore* const store_;
    const Digest empty_content_;
    MemberPlan plan_;
    FrameKeys keys_;
    MemberGroups groups_;
    SectionRule rule_;
    FrameGroup group_;
    std::optional<OpenSection> section_;  // none: the next member begins one
    std::vector<std::pair<Digest, StoredSection>> sections_;
    std::uint64_t members_reused_ = 0;
    std::uint64_t tar_offset_ = 0;  // where group_ begins
    // What groups_ knew before the member at hand.
    std::uint64_t group_bytes_ = 0, directory_bytes_ = 0;
    bool stopped_ = false;
    BoundedQueue<FrameGroup> queue_;
    std::exception_ptr failure_;  // set before the queue is closed
    std::jthread thread_;         // last: joined before anything it uses goes
};

}  // namespace shale::layer
