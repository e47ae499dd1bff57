// Where a layer's frames end. Small members share a frame; these rules choose the members after
// which one is closed, by properties of the members themselves, so that an edit somewhere moves no
// boundary elsewhere and a rebuilt layer finds its other frames again.
//
//   - A frame holds at least half of the target and at most twice the target.
//   - From half the target on, it may be closed before a directory begins: the more the directory
//     before held, the more likely. From the whole target on, before any member.
//   - Whether a candidate is taken is decided by the hash of its path, not by what lies before.
//
// Measurements and what else was tried: docs/decisions/0001-frame-groups.md.
#pragma once

#include <shale/tar.hpp>

#include <cstdint>
#include <string>

namespace shale::layer {

class MemberGroups {
  public:
    explicit MemberGroups(std::uint64_t target_bytes);
    // True if a frame ends before `member`, which takes `tar_bytes` of the tar (its header alone if
    // its content has frames of its own).
    bool begins_group(const tar::Member& member, std::uint64_t tar_bytes);
    // Something else ended the frame.
    void close() { group_bytes_ = 0; }

    // What the rules know between two members, besides the directory of the one before.
    std::uint64_t group_bytes() const { return group_bytes_; }
    std::uint64_t directory_bytes() const { return directory_bytes_; }
    // As if the members up to `last` had been seen.
    void resume(const tar::Member& last, std::uint64_t group_bytes, std::uint64_t directory_bytes);

  private:
    bool is_boundary(const tar::Member& member, std::uint64_t tar_bytes);
    bool chosen(const std::string& path, std::uint64_t bytes) const;

    std::uint64_t target_, least_, most_;
    std::uint64_t group_bytes_ = 0, directory_bytes_ = 0;
    std::string directory_;
};

}  // namespace shale::layer
