// The roots that RUNs of one build stand on, kept mounted until the build ends.
//
// A tree is shown through FUSE, and a mount begins knowing nothing: each program that a RUN starts
// is asked for name by name, read and decompressed. So what was mounted for one RUN serves the ones
// after it, of whatever stage: what a RUN left in its upper directory, which are plain files, lies
// on top, and what an edit of the tree (COPY, WORKDIR) added is mounted alone, as a layer between.
// Trees that cannot be had so are mounted as a whole, as the first one is. What is shown is always
// the tree that was asked for, times included.
#pragma once

#include "root.hpp"

#include <shale/build.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace shale::build {

// One of them. Immutable; unmounted with the last user, and what it stands on after it.
struct LiveRoot {
    std::shared_ptr<const LiveRoot> below;  // null: it shows all by itself
    std::optional<TempDir> scratch;         // where it is mounted, or was written
    std::unique_ptr<MountedTree> mounted;   // null: an upper directory
    sandbox::OverlayBase layers;            // those below included
};

// Safe from any thread.
class LiveRoots {
  public:
    LiveRoots(store::Store& store, TreeMounter& mounter) : store_(store), mounter_(mounter) {}

    std::shared_ptr<const LiveRoot> show(const LoadedRoot& root);

    // `upper`, somewhere in `scratch`, holds what turns the tree of `below` into `tree`, as
    // overlayfs writes it.
    void keep(std::shared_ptr<const LiveRoot> below, std::shared_ptr<const snapshot::Tree> tree,
              TempDir scratch, const std::string& upper);

    // `after` was made of `before` without a RUN.
    void note_edit(const std::shared_ptr<const snapshot::Tree>& before,
                   const snapshot::Tree& after);

  private:
    struct Known {
        std::shared_ptr<LiveRoot> root;
        std::uint64_t last_used = 0;
        // Of an upper directory that nothing was put on yet: the tree that it shall show.
        std::shared_ptr<const snapshot::Tree> unsettled;
    };
    using Roots = std::vector<std::shared_ptr<LiveRoot>>;

    std::shared_ptr<LiveRoot> find(const Digest& tree, Roots& dropped);
    std::shared_ptr<LiveRoot> make(const LoadedRoot& root, Roots& dropped);
    std::shared_ptr<LiveRoot> mount(std::shared_ptr<const snapshot::Tree> tree,
                                    const std::vector<Digest>& sources);
    void drop_idle(Roots& dropped);

    store::Store& store_;
    TreeMounter& mounter_;
    std::mutex mutex_;
    // Guarded by mutex_, by the digest of the tree:
    std::map<Digest, Known> known_;
    std::map<Digest, std::shared_ptr<const snapshot::Tree>> made_of_;  // noted edits
    std::uint64_t uses_ = 0;
};

// What has to lie on a mount of `before` to show `after`: a tree of what was added or changed and
// of the directories that lead there. nullopt if that does not do (something was removed, a file
// took the place of a directory, names of one inode), or is so much that a mount of all is better.
std::optional<snapshot::Tree> tree_of_edit(const snapshot::Tree& before,
                                           const snapshot::Tree& after);

// Makes the files in an upper directory as `tree` has them, whose times are whole seconds. False if
// there is something that the tree does not have, and that no overlay would hide.
bool settle_upper(const std::string& upper, const snapshot::Tree& tree);

}  // namespace shale::build
