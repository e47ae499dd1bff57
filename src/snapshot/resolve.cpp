// Tree::resolve: follows symbolic links the way a process inside a chroot of the tree would.
//
// The components still to visit are a stack of views, into the caller's path and into link targets
// that live in the tree; a symlink pushes its target's components on top. Nothing is concatenated
// until the answer is known.
#include "tree_data.hpp"

#include <vector>

namespace shale::snapshot {

namespace {

// Twice what Linux allows (40); beyond it a path is a loop or an attack.
constexpr int kMaxLinks = 255;

class Resolver {
  public:
    explicit Resolver(const Tree::Data& tree) : tree_(tree) {}

    NodeId run(std::string_view path, std::string* path_out) {
        push(path);
        while (!todo_.empty()) {
            const auto part = todo_.back();
            todo_.pop_back();
            if (!tree_.is_directory(at_)) return kNoNode;
            if (part == ".") continue;
            if (part == "..") {
                if (at_ != kRoot) at_ = tree_.node(at_).parent;
                continue;
            }
            const NodeId next = tree_.child(at_, part);
            if (next == kNoNode) return missing(part, path_out);
            if (tree_.node(next).type == FileType::Symlink)
                follow(next, path);
            else
                at_ = next;
        }
        if (path_out) *path_out = tree_.path(at_);
        return at_;
    }

  private:
    // Components in reverse, so that the first one is on top.
    void push(std::string_view path) {
        while (!path.empty()) {
            const auto slash = path.rfind('/');
            const auto part = slash == std::string_view::npos ? path : path.substr(slash + 1);
            if (!part.empty()) todo_.push_back(part);
            path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
        }
    }

    void follow(NodeId link, std::string_view path) {
        if (++links_ > kMaxLinks)
            fail(ErrorKind::Invalid, "'" + std::string(path) + "': more than " +
                                         std::to_string(kMaxLinks) + " symbolic links");
        const auto target = tree_.target(link);
        if (target.starts_with('/')) at_ = kRoot;
        push(target);
    }

    NodeId missing(std::string_view name, std::string* path_out) const {
        if (path_out && todo_.empty()) *path_out = join_path(tree_.path(at_), name);
        return kNoNode;
    }

    const Tree::Data& tree_;
    std::vector<std::string_view> todo_;
    NodeId at_ = kRoot;
    int links_ = 0;
};

}  // namespace

NodeId Tree::resolve(std::string_view path, std::string* path_out) const {
    if (path_out) path_out->clear();
    return Resolver(*data_).run(path, path_out);
}

}  // namespace shale::snapshot
