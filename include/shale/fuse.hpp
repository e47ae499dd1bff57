// fuse: serves a mount::View through libfuse. The only module that knows libfuse exists.
#pragma once

#include <shale/base.hpp>
#include <shale/mount.hpp>

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
    // Answers for extended attributes "user.shale.<name>" that the tree does not have, of an inode;
    // nullopt: there is none. They are never listed, so that nothing copies them. Called from any
    // thread. Null for a tree that shall look like itself, such as a RUN's root.
    std::function<std::optional<std::string>(mount::InodeId inode, std::string_view name)> origin{};
};

// A mounted view. Serving threads live inside; destruction unmounts (lazily if busy) and joins
// them.
class Mounted {
  public:
    // Throws Unsupported if /dev/fuse is missing, Invalid if `target` is not an empty directory or
    // is already a mount point.
    Mounted(std::shared_ptr<mount::View> view, const std::string& target,
            const Options& options = {});
    ~Mounted();
    Mounted(const Mounted&) = delete;
    const std::string& target() const;
    // Blocks until somebody unmounts the target (umount, fusermount3 -u).
    void wait();
    struct Stats {
        std::uint64_t requests = 0, lookups = 0, reads = 0, opens = 0;
    };
    Stats stats() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::fuse
