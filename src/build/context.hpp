// The build context: a directory seen through .dockerignore. Walked and hashed once per build, when
// the first step needs it; unchanged files are known from the store's stat cache and not opened.
#pragma once

#include "needed_paths.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <memory>
#include <mutex>
#include <string>

namespace shale::build {

class Context {
  public:
    Context(std::string directory, dockerfile::IgnoreMatcher ignore, store::Store& store,
            Tracker& tracker);

    // Says what somebody will look at; nothing else is walked. Safe from any thread.
    void need(const std::vector<Need>& paths);
    // Owner 0:0 everywhere, excluded entries absent. Blocks while scanning. The tree lives as long
    // as the context, but a later one may hold more: ask after the last need(). Safe from any
    // thread.
    const snapshot::Tree& tree();
    const std::string& directory() const { return directory_; }

    // The patterns that apply to the Dockerfile at `dockerfile_path`: its own
    // "<path>.dockerignore", else ".dockerignore" of the context, else none.
    static dockerfile::IgnoreMatcher load_ignore(const std::string& directory,
                                                 const std::string& dockerfile_path);

  private:
    snapshot::Tree scan();

    std::string directory_;
    dockerfile::IgnoreMatcher ignore_;
    store::Store& store_;
    Tracker& tracker_;
    std::mutex mutex_;
    // Guarded by mutex_:
    NeededPaths needed_;
    std::vector<std::unique_ptr<const snapshot::Tree>> trees_;  // earlier ones are still in use
    bool is_current_ = false;  // the last tree holds all that is needed
};

}  // namespace shale::build
