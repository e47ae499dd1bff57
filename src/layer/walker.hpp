// Directories below a root, by paths that may contain anything: symlinks are followed in user
// space, component by component, so that none of them, absolute or with "..", ever leads out of the
// root. The kernel is only asked to open one name at a time in a directory already held, never to
// follow a link.
#pragma once

#include <shale/base.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::layer {

class RootWalker {
  public:
    // Opened O_PATH; usable as the directory of *at() calls until the next call of walk().
    struct Directory {
        int fd = -1;
        std::string path;  // relative to the root, free of symlinks; "" is the root
    };
    enum class Missing { Leave, Create };

    explicit RootWalker(const std::string& root);

    // nullopt if a component is missing (with Leave) or is no directory, or links go round in
    // circles. Created directories are 0755; their paths are appended to `created`.
    std::optional<Directory> walk(std::string_view path, Missing missing = Missing::Leave);
    std::vector<std::string>& created() { return created_; }
    // Must be called before the entry at `path` (free of symlinks) is removed or replaced.
    void forget(std::string_view path);

  private:
    struct Level {
        std::string name;
        UniqueFd fd;
    };
    enum class Step { Entered, Link, Blocked };

    int fd_at(std::size_t depth) const {
        return depth == 0 ? root_.get() : levels_[depth - 1].fd.get();
    }
    std::string path_at(std::size_t depth) const;
    Step enter(std::size_t depth, const std::string& name, Missing missing, std::string& target);

    UniqueFd root_;
    std::vector<Level> levels_;  // open directories from the root down to the last one visited
    std::vector<std::string> created_;
};

}  // namespace shale::layer
