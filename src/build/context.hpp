// The build context: a directory seen through .dockerignore. Walked and hashed once per build, when
// the first step needs it; unchanged files are known from the store's stat cache and not opened.
#pragma once

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
    // `needed`: context paths the build can touch, relative, each standing for itself and all below
    // it; an empty list, or one with "", stands for everything. Nothing else is walked.
    Context(std::string directory, dockerfile::IgnoreMatcher ignore,
            std::vector<std::string> needed, store::Store& store, Tracker& tracker);

    // Owner 0:0 everywhere, excluded entries absent. Safe from any thread; blocks while scanning.
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
    std::vector<std::string> needed_;
    store::Store& store_;
    Tracker& tracker_;
    std::mutex mutex_;
    std::unique_ptr<const snapshot::Tree> tree_;
};

// The paths of the context that COPY and ADD of these stages name, for Context's `needed`: literal
// leading components; a source that begins with a variable or wildcard needs everything.
std::vector<std::string> needed_paths(const dockerfile::File& file,
                                      const std::vector<std::uint32_t>& stages);

}  // namespace shale::build
