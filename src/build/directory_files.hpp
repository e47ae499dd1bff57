// Contents of a tree that was scanned from a directory, read from the files where they lie.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace shale::build {

// Safe from any thread. `tree` must outlive it.
class DirectoryFiles {
  public:
    DirectoryFiles(const std::string& directory, const snapshot::Tree& tree);
    // Bytes of a regular file of the tree, cut at its end. Paths are resolved beneath the
    // directory, no symbolic link is followed. Corrupt if the file is not what was scanned any
    // more: what a step sees must be what its cache key says.
    std::size_t read(snapshot::NodeId node, std::uint64_t offset, MutableBytes out);

  private:
    struct File {
        snapshot::NodeId node;
        std::shared_ptr<UniqueFd> fd;
    };
    std::shared_ptr<UniqueFd> open(snapshot::NodeId node);

    UniqueFd directory_;
    const snapshot::Tree& tree_;
    std::mutex mutex_;
    std::list<File> recent_;  // open files, the last used first; guarded by mutex_
    std::unordered_map<snapshot::NodeId, std::list<File>::iterator> places_;
};

}  // namespace shale::build
