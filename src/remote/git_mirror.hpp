// A bare repository that remembers what was fetched from one remote, so that the next commit costs
// what changed.
#pragma once

#include "git_program.hpp"

#include <shale/base.hpp>

#include <string>

namespace shale::remote {

// Locked, against threads and processes, for as long as the object lives.
class GitMirror {
  public:
    // `object` tells which hash the repository uses.
    GitMirror(const GitProgram& git, const std::string& directory, const std::string& remote,
              std::string_view object, std::stop_token stop);

    // Fetches the commit or tag, with as little history as the remote is able to serve. NotFound if
    // the remote has no such object.
    void fetch(const std::string& object);
    const std::string& path() const { return path_; }

  private:
    bool has(const std::string& object) const;
    bool attempt(const std::string& object, const std::vector<std::string>& arguments);
    void prepare(bool is_sha256);

    const GitProgram& git_;
    std::string remote_, path_;
    UniqueFd lock_;
};

}  // namespace shale::remote
