#include "walker.hpp"

#include "reserved_xattrs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace shale::layer {

namespace {

constexpr unsigned kMissingParentMode = 0755;

}  // namespace

RootWalker::RootWalker(const std::string& root) : root_(open_file(root, O_PATH | O_DIRECTORY)) {}

std::string RootWalker::path_at(std::size_t depth) const {
    std::string path;
    for (std::size_t i = 0; i < depth; ++i)
        path = join_path(path, levels_[i].name);
    return path;
}

void RootWalker::forget(std::string_view path) {
    for (std::size_t depth = 0; depth < levels_.size(); ++depth) {
        const std::size_t slash = std::min(path.find('/'), path.size());
        if (levels_[depth].name != path.substr(0, slash)) return;
        if (slash == path.size()) {
            levels_.resize(depth);
            return;
        }
        path.remove_prefix(slash + 1);
    }
}

// One component down from `depth`. On Link, `target` is the link's text.
RootWalker::Step RootWalker::enter(std::size_t depth, const std::string& name, Missing missing,
                                   std::string& target) {
    if (depth < levels_.size() && levels_[depth].name == name) return Step::Entered;
    levels_.resize(depth);
    const int parent = fd_at(depth);
    const auto open = [&] {
        return UniqueFd(
            ::openat(parent, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    };
    UniqueFd fd = open();
    if (!fd && errno == ENOENT && missing == Missing::Create) {
        if (::mkdirat(parent, name.c_str(), kMissingParentMode) != 0)
            throw_errno("mkdir", join_path(path_at(depth), name));
        // The umask may have taken bits away.
        if (::fchmodat(parent, name.c_str(), kMissingParentMode, 0) != 0)
            throw_errno("chmod", join_path(path_at(depth), name));
        created_.push_back(join_path(path_at(depth), name));
        fd = open();
    }
    if (fd) {
        levels_.push_back({name, std::move(fd)});
        return Step::Entered;
    }
    if (errno == ENOENT) return Step::Blocked;
    if (errno != ENOTDIR && errno != ELOOP) throw_errno("open", join_path(path_at(depth), name));
    target.resize(PATH_MAX);
    const ssize_t length = ::readlinkat(parent, name.c_str(), target.data(), target.size());
    if (length <= 0) return Step::Blocked;  // neither directory nor symlink
    target.resize(static_cast<std::size_t>(length));
    return Step::Link;
}

std::optional<RootWalker::Directory> RootWalker::walk(std::string_view path, Missing missing) {
    std::string pending(path), target;
    std::size_t depth = 0;
    for (int links = 0; !pending.empty();) {
        const std::size_t slash = std::min(pending.find('/'), pending.size());
        const std::string name = pending.substr(0, slash);
        pending.erase(0, slash + 1);
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            if (depth > 0) --depth;
            continue;
        }
        const Step step = enter(depth, name, missing, target);
        if (step == Step::Blocked) return std::nullopt;
        if (step == Step::Entered) {
            ++depth;
            continue;
        }
        if (++links > kMaxLinks) return std::nullopt;
        if (target.starts_with('/')) depth = 0;
        pending = target + "/" + pending;
    }
    levels_.resize(depth);
    return Directory{fd_at(depth), path_at(depth)};
}

}  // namespace shale::layer
