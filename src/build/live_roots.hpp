// The roots that RUNs of one build stand on, kept mounted for the ones after them.
//
// A tree is shown through FUSE, and a mount begins knowing nothing: each program that a RUN starts
// is asked for name by name, read and decompressed. So what was mounted for one RUN serves the ones
// after it, of whatever stage: what a RUN left in its upper directory, which are plain files, lies
// on top, and what an edit of the tree (COPY, WORKDIR) added is mounted alone, as a layer between.
//
// A command must see the same whether or not the step before it came from the cache. So a stack is
// used only where it shows exactly the tree that was asked for: names, types, times, attributes and
// which names are one inode are compared. Where it does not, the tree is mounted as a whole, as the
// first one is.
//
// Large files that RUNs read, mostly programs, are kept as plain files when the build is over
// (store::LocalContents); the next build's mounts take them from there, through a layer of notes in
// front (file_layer.hpp), and the kernel reads them by itself. So are upper directories that a RUN
// stood on (store::UnpackedSteps), for a build that finds the step in its cache.
#pragma once

#include "root.hpp"

#include <shale/build.hpp>
#include <shale/local_contents.hpp>
#include <shale/unpacked_steps.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// One of them. Immutable; unmounted with the last user, and what it stands on after it.
struct LiveRoot {
    std::shared_ptr<const LiveRoot> below;  // null: it shows all by itself
    std::optional<TempDir> scratch;         // where it is mounted, or was written
    std::shared_ptr<mount::View> view;      // what is mounted
    std::unique_ptr<MountedTree> mounted;   // null: an upper directory
    std::optional<TempDir> files;           // the layer in front of it, if there is one
    bool can_carry_more = true;             // uppers, and mounts of edits
    sandbox::OverlayBase layers;            // those below included
    UniqueFd lease;                         // of an upper directory that an earlier build left
};

// Safe from any thread.
class LiveRoots {
  public:
    using TreePointer = std::shared_ptr<const snapshot::Tree>;

    LiveRoots(store::Store& store, TreeMounter& mounter)
        : store_(store), mounter_(mounter), contents_(store), unpacked_(store) {}
    ~LiveRoots();

    std::shared_ptr<const LiveRoot> show(const LoadedRoot& root);
    // Where a stack does not do: in a mount of all, which show() gives from then on.
    std::shared_ptr<const LiveRoot> show_whole(const LoadedRoot& root);

    // What a RUN left: `upper`, somewhere in `scratch`, holds what turns `before` into `after`, as
    // overlayfs writes it.
    struct Left {
        std::string name;  // of the step
        TreePointer before, after;
        TempDir scratch;
        std::string upper;
    };
    // `below` shows `before`. Not kept where the disk is nearly full.
    void keep(std::shared_ptr<const LiveRoot> below, Left left);

    // A step made `after` of `before`; what a RUN left is known better by keep().
    void note_edit(const TreePointer& before, const snapshot::Tree& after);

    // Lets go of all that nobody uses, and keeps for later builds what they will read.
    void clear();

  private:
    // An upper directory that nothing was put on yet.
    struct Unsettled {
        std::string name;
        TreePointer before, after;
        std::mutex mutex;
        // Once somebody wanted to stand on it; `bytes` if it shows what it should.
        bool is_settled = false;
        std::optional<std::uint64_t> bytes;
    };
    struct Known {
        std::shared_ptr<const LiveRoot> root;
        std::uint64_t last_used = 0;
        std::shared_ptr<Unsettled> upper;  // null: it was mounted
    };

    std::shared_ptr<const LiveRoot> find(const Digest& tree);
    // `depth`: of uppers above. What lies on what was written down by several builds, and could go
    // round in a circle.
    std::shared_ptr<const LiveRoot> find_made(const LoadedRoot& root, std::size_t depth);
    std::shared_ptr<const LiveRoot> find_unpacked(const LoadedRoot& root, std::size_t depth);
    std::shared_ptr<const LiveRoot> make(const LoadedRoot& root, std::size_t depth);
    TreePointer tree_before_edit(const Digest& edited);
    TreePointer stored_tree(const Digest& digest) const;
    std::shared_ptr<const LiveRoot> put(const Digest& tree, std::shared_ptr<const LiveRoot> root);
    std::shared_ptr<LiveRoot> mount(TreePointer tree, const std::vector<Digest>& sources);
    std::shared_ptr<LiveRoot> mount_whole(const LoadedRoot& root);
    void add_file_layer(LiveRoot& live) const;
    void keep_large_files(mount::View& view);
    bool can_follow_notes() const;
    void drop_idle(std::vector<Known>& dropped);
    void unpack_for_later(const Known& known);

    store::Store& store_;
    TreeMounter& mounter_;
    store::LocalContents contents_;
    store::UnpackedSteps unpacked_;
    std::mutex mutex_;
    // Guarded by mutex_: of all that was mounted, for what was read there.
    std::vector<std::shared_ptr<mount::View>> views_;
    // Guarded by mutex_, by the digest of the tree:
    std::map<Digest, Known> known_;
    std::map<Digest, TreePointer> made_of_;  // noted edits
    std::uint64_t uses_ = 0;
};

// What has to lie on a mount of `before` to show `after`: a tree of what was added or changed and
// of the directories that lead there. nullopt if that does not do (something was removed, a file
// took the place of a directory, names of one inode), or is so much that a mount of all is better.
std::optional<snapshot::Tree> tree_of_edit(const snapshot::Tree& before,
                                           const snapshot::Tree& after);

// Gives the files in an upper directory the times that `after` has, which are whole seconds.
// Returns how many bytes they take on disk, about; nullopt if the directory, as a layer on
// `before`, does not show `after`.
std::optional<std::uint64_t> settle_upper(const std::string& upper, const snapshot::Tree& before,
                                          const snapshot::Tree& after);

}  // namespace shale::build
