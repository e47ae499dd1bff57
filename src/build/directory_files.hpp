// Contents of a tree that was scanned from a directory, read from the files where they lie.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace shale::build {

// Safe from any thread. `tree` must outlive it.
class DirectoryFiles {
  public:
    DirectoryFiles(const std::string& directory, const snapshot::Tree& tree);
    // Bytes of a regular file of the tree, cut at its end. Paths are resolved beneath the
    // directory, no symbolic link is followed. Corrupt if the file does not hold what was scanned
    // any more: what a step sees must be what its cache key says. Touching it changes nothing.
    std::size_t read(snapshot::NodeId node, std::uint64_t offset, MutableBytes out);
    // The first file that could not be read, with why. A command may take that for its end.
    std::optional<std::string> failure() const;

  private:
    struct File {
        snapshot::NodeId node;
        std::shared_ptr<UniqueFd> fd;
    };
    std::shared_ptr<UniqueFd> open(snapshot::NodeId node);
    std::size_t read_file(snapshot::NodeId node, std::uint64_t offset, MutableBytes out);
    void check(int fd, snapshot::NodeId node, const snapshot::Entry& entry);

    UniqueFd directory_;
    const snapshot::Tree& tree_;
    std::mutex hashing_;        // held while a file is read as a whole
    mutable std::mutex mutex_;  // guards what follows
    std::list<File> recent_;    // open files, the last used first
    std::unordered_map<snapshot::NodeId, std::list<File>::iterator> places_;
    // Modification times with which files were found to hold what was scanned all the same.
    std::unordered_map<snapshot::NodeId, std::int64_t> touched_;
    std::optional<std::string> failure_;
};

}  // namespace shale::build
