// A mounted reference: what `shale mount` leaves running.
#pragma once

#include "mount_record.hpp"
#include "tree_argument.hpp"
#include "tree_server.hpp"

#include <memory>
#include <optional>
#include <string>

namespace shale::cli {

struct MountRequest {
    std::string reference;  // with the part of it that is wanted
    std::string target;     // absolute
    PlatformChoice platform{};
    bool origin = true;  // answer for user.shale.*
    bool writable = false;
    TierWish tier = TierWish::Auto;
    // For an image that stays in its registry, and refused for others.
    std::optional<FetchAhead> ahead{};
};

// Mounted from construction to destruction; the store is pinned meanwhile and of use for nothing
// else. What was written to a writable mount is gone with it.
class Serving {
  public:
    // Throws Cancelled if the workspace's stop was requested. Invalid for what cannot be mounted,
    // or cannot be writable.
    Serving(const MountRequest& request, Workspace& workspace);
    Serving(const Serving&) = delete;
    ~Serving();
    // For fork(2), as fuse::Mounted's; the process that goes on says who holds it (0: nobody), and
    // whether it does so after another that was killed. Both also without a fork.
    void pause();
    void go_on(std::int64_t holder, bool after_another);
    // Until somebody unmounts, or a signal asks us to. After go_on().
    void wait(Workspace& workspace);
    const TierChoice& tier() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::cli
