// What a caller lends to the steps of a build and nothing of the build may keep: secrets and
// agents.
#pragma once

#include <shale/build.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// The value; nullopt if the request has no secret of this id. Read anew for every step, kept
// nowhere. Invalid if it is larger than the reference client takes (500 KiB).
std::optional<std::string> find_secret(const std::vector<SecretSource>& secrets,
                                       const std::string& id);

// The agents of --ssh. Those made of key files start when a step first asks and end with the
// build. Safe from any thread.
class SshAgents {
  public:
    explicit SshAgents(const std::vector<SshSource>& sources) : sources_(sources) {}
    // Path of a socket on which the agent answers; nullopt if the request has none of this id.
    std::optional<std::string> socket(const std::string& id);

  private:
    const std::vector<SshSource>& sources_;
    std::mutex mutex_;
    std::map<std::string, std::unique_ptr<sandbox::KeyAgent>> agents_;  // guarded by mutex_
};

}  // namespace shale::build
