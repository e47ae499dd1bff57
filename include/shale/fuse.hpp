// fuse: serves a mount::View, or contents by digest, through libfuse. The only module that knows
// libfuse exists.
#pragma once

#include <shale/base.hpp>
#include <shale/mount.hpp>
#include <shale/snapshot.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace shale::fuse {

struct Options {
    // For a RUN's root file system set-id bits and devices must work; for inspection they must not.
    bool allow_set_id_and_devices = false;
    std::string source_name = "shale";  // first column of /proc/mounts
    unsigned threads = 2;
    // How many of them may read contents at a time, if not all: where that may take long, the
    // others answer everything else meanwhile. 0: all.
    unsigned reading_threads = 0;
    // Answers for extended attributes "user.shale.<name>" that the tree does not have, of an inode;
    // nullopt: there is none. They are never listed, so that nothing copies them. Called from any
    // thread. Null for a tree that shall look like itself, such as a RUN's root.
    std::function<std::optional<std::string>(mount::InodeId inode, std::string_view name)> origin{};
};

// A mounted view or contents. Serving threads live inside; destruction unmounts (lazily if busy)
// and joins them.
class Mounted {
  public:
    // Throws Unsupported if /dev/fuse is missing, Invalid if `target` is not an empty directory or
    // is already a mount point.
    Mounted(std::shared_ptr<mount::View> view, const std::string& target,
            const Options& options = {});
    // Contents by digest, attached nowhere; release_mount() tells where they are. Only root may.
    explicit Mounted(std::shared_ptr<mount::ContentView> contents);
    ~Mounted();
    Mounted(const Mounted&) = delete;
    const std::string& target() const;  // empty if attached nowhere
    // Of contents, once: stands for the mount's root, as /proc/self/fd/N in a path does. The mount
    // ends with its last user; as long as this descriptor is open, that is at least the caller.
    UniqueFd release_mount();
    // Blocks until somebody unmounts the target (umount, fusermount3 -u).
    void wait();
    // For fork(2): from pause() on nobody answers, requests wait, and there is no thread of ours.
    // One process, of those that have the object then, goes on with resume() and may destroy it;
    // the others end without.
    void pause();
    // `after_another`: that process was killed. What it had taken and not answered is answered now.
    // Unsupported before Linux 6.9.
    void resume(bool after_another);
    struct Stats {
        std::uint64_t requests = 0, lookups = 0, reads = 0, opens = 0;
    };
    Stats stats() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// The layers of an overlay that shows a tree and asks us for bytes only: the kernel reads the rest
// from a metadata image. Made of mounts without a place, so that nothing is left of them when the
// overlay is gone, whatever became of this process.
class ImageLayers {
  public:
    // `tree` is what is shown, its contents are found through `view`; the image is made in
    // `scratch`, on a file system that the kernel can mount from.
    ImageLayers(std::shared_ptr<mount::View> view, const snapshot::Tree& tree,
                const std::string& scratch);
    ~ImageLayers();
    ImageLayers(const ImageLayers&) = delete;
    // Valid until release().
    std::string lower() const;
    std::vector<std::string> data() const;
    // Once the overlay is mounted: nothing but the overlay keeps the parts any more.
    void release();
    void wait();   // until the overlay, and so its parts, are gone; after release()
    void pause();  // these two as Mounted's
    void resume(bool after_another);
    Mounted::Stats stats() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::fuse
