// Everything that stands behind the mounts of one RUN while it runs: lazy views of trees, scratch
// overlays, cache directories and their locks, secrets in memory, agent sockets.
#pragma once

#include "run.hpp"
#include "session.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// Made before the step's root, because the root must have the mount points. Throws what a mount
// fails with: NotFound `secret x: not found`, Invalid `no SSH key "x" forwarded from the client`.
class RunMounts {
  public:
    RunMounts(Session& session, const RunSpec& spec, std::unique_ptr<RunCaches> caches);
    ~RunMounts();
    RunMounts(const RunMounts&) = delete;

    // For the sandbox, in the order in which they are to be made.
    const std::vector<sandbox::BindMount>& binds() const;
    // Their targets, for WritableRoot.
    const std::vector<std::string>& points() const;
    // Variables of secrets and of the first agent socket, over those that the step has.
    const std::vector<KeyValue>& variables() const;
    bool has_secret_variables() const;
    // Values that no output may show.
    const std::vector<std::string>& secrets() const;
    // A file of the build context that could not be read through a mount, with why: whatever the
    // command made of that, it is not what its key says.
    std::optional<std::string> failure() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::build
