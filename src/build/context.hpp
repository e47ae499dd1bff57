// A build context: a directory seen through .dockerignore, or files that came from elsewhere.
//
// A directory is walked and hashed once per build, when the first step needs it; unchanged files
// are known from the store's stat cache and not opened, and where `shale watch` runs, only what
// changed since the last build is looked at. What came from elsewhere is a root already.
#pragma once

#include "needed_paths.hpp"
#include "source.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <memory>
#include <mutex>
#include <string>

namespace shale::build {

class Sources;

struct IgnoreRules {
    dockerfile::IgnoreMatcher matcher;
    std::string text;  // what the matcher was made of
};

class Context {
  public:
    // `title` is the vertex of the walk.
    Context(std::string directory, IgnoreRules ignore, store::Store& store, Tracker& tracker,
            std::string title = "[internal] load build context");
    // `name` says what it is, for those who compare builds.
    Context(std::string name, Source source, store::Store& store, Tracker& tracker);

    // Null for a directory; whoever gets one reads it as the root of a stage.
    std::shared_ptr<Root> remote_root() const { return source_.root; }
    // The whole context as a source; of a directory, its contents are stored first.
    Source as_source(Sources& sources);
    const Source& source() const { return source_; }  // empty for a directory

    // Says what somebody will look at; nothing else is walked. Safe from any thread.
    void need(const std::vector<Need>& paths);
    // Owner 0:0 everywhere, excluded entries absent. Blocks while scanning. The tree lives as long
    // as the context, but a later one may hold more: ask after the last need(). Safe from any
    // thread.
    const snapshot::Tree& tree();
    // The last tree of a directory that is complete; null if nobody has asked for one. Lives as
    // long as the context. Safe from any thread.
    const snapshot::Tree* last_tree() {
        const std::lock_guard lock(mutex_);
        return is_current_ && !trees_.empty() ? trees_.back().get() : nullptr;
    }
    const std::string& directory() const { return directory_; }  // empty if it is none
    const std::string& name() const { return name_; }
    const dockerfile::IgnoreMatcher& ignore() const { return ignore_.matcher; }

    // The patterns that apply to the Dockerfile at `dockerfile_path`: its own
    // "<path>.dockerignore", else ".dockerignore" of the context, else none.
    static IgnoreRules load_ignore(const std::string& directory,
                                   const std::string& dockerfile_path);

  private:
    snapshot::Tree scan(VertexId vertex);

    std::string directory_, name_;
    Source source_;
    IgnoreRules ignore_;
    store::Store& store_;
    Tracker& tracker_;
    std::string title_;
    std::mutex mutex_;
    // Guarded by mutex_:
    NeededPaths needed_;
    std::vector<std::unique_ptr<const snapshot::Tree>> trees_;  // earlier ones are still in use
    bool is_current_ = false;  // the last tree holds all that is needed
};

}  // namespace shale::build
