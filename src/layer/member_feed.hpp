// Changes -> groups of members, one thread ahead of whoever writes them.
#pragma once

#include "frame_builder.hpp"
#include "frame_key.hpp"
#include "member_group.hpp"
#include "member_plan.hpp"

#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace shale::layer {

// A content larger than this has frames of its own: groups hold about twice what they hold at
// least.
inline std::uint64_t largest_grouped(const WriteOptions& options) {
    return std::uint64_t{2} * options.frame_bytes;
}

// The members that one frame holds.
struct FrameGroup {
    struct Member {
        const diff::Change* change = nullptr;
        std::string header;
        Digest content;  // zero if it has none in this frame
    };
    std::vector<Member> members;
    Digest key;
    std::uint64_t tar_offset = 0, tar_bytes = 0;
    bool ends_archive = false;
    // The content of the last member, in frames of its own behind this one; or null.
    const diff::Change* large = nullptr;
};

// Plans members, encodes their headers, describes them to the table of contents and computes the
// keys of their frames, on a thread of its own. The references must outlive it; of the builder
// describe() is used, and nothing else that touches it may be.
class MemberFeed {
  public:
    MemberFeed(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
               const WriteOptions& options, FrameBuilder& builder);
    ~MemberFeed();  // abandons what is left

    // In tar order; the last one ends the archive, then nullopt. Rethrows what stopped the thread.
    std::optional<FrameGroup> next();

  private:
    void run(const std::vector<diff::Change>& changes);
    void take(const diff::Change& change);
    void end_group(bool ends_archive);

    const snapshot::Tree& after_;
    const WriteOptions& options_;
    FrameBuilder& builder_;
    const Digest empty_content_;
    std::optional<MemberOrder> order_;  // made on the thread
    MemberPlan plan_;
    FrameKeys keys_;
    MemberGroups groups_;
    FrameGroup group_;
    std::uint64_t tar_offset_ = 0;  // where group_ begins
    bool stopped_ = false;
    BoundedQueue<FrameGroup> queue_;
    std::exception_ptr failure_;  // set before the queue is closed
    std::jthread thread_;         // last: joined before anything it uses goes
};

}  // namespace shale::layer
