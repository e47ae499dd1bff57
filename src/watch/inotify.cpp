// A watch on every directory.
//
// For whoever may not mark a file system. Set-up walks the tree once, and each new directory needs
// a watch of its own: it is added, and its subdirectories looked for, before the event that told of
// it counts as handled, and all below it is dirty; so nothing is missed in between. A watch follows
// its directory when that is moved; its path is then set anew from the event of where it went.
#include "notifier.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <unordered_map>
#include <vector>

namespace shale::watch {

namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
constexpr std::uint32_t kMask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
                                IN_ATTRIB | IN_CLOSE_WRITE | IN_DONT_FOLLOW | IN_ONLYDIR |
                                IN_EXCL_UNLINK;
constexpr std::uint32_t kEntriesChange = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

class Inotify final : public Notifier {
  public:
    // Everything is reached through the open directory: its path may come to mean another one.
    Inotify(UniqueFd fd, int root_fd)
        : fd_(std::move(fd)), root_("/proc/self/fd/" + std::to_string(root_fd) + "/."),
          buffer_(kBufferBytes) {}

    int fd() const override { return fd_.get(); }
    std::string_view name() const override { return "inotify"; }

    // False if a limit or a permission stands in the way.
    bool watch_below(const std::string& path) {
        if (!watch(path)) return false;
        const UniqueFd directory(
            ::open(full(path).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!directory) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
        DIR* stream = ::fdopendir(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0));
        if (!stream) throw_errno("read directory", full(path));
        std::vector<std::string> below;
        while (const dirent* entry = ::readdir(stream)) {
            const std::string_view name = entry->d_name;
            const bool maybe = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
            if (maybe && name != "." && name != "..") below.emplace_back(name);
        }
        ::closedir(stream);
        for (const auto& name : below)
            if (!watch_below(path.empty() ? name : join_path(path, name))) return false;
        return true;
    }

    void drain(DirtySet& into) override {
        for (;;) {
            const ssize_t filled = ::read(fd_.get(), buffer_.data(), buffer_.size());
            if (filled < 0 && errno == EINTR) continue;
            if (filled < 0 && errno == EAGAIN) return;
            if (filled < 0) throw_errno("read inotify events of", root_);
            for (std::size_t at = 0; at + sizeof(inotify_event) <= std::size_t(filled);)
                at += take(buffer_.data() + at, into);
        }
    }

  private:
    std::string full(const std::string& path) const {
        return path.empty() ? root_ : join_path(root_, path);
    }

    // What is gone already, or no directory, needs none.
    bool watch(const std::string& path) {
        const int id = ::inotify_add_watch(fd_.get(), full(path).c_str(), kMask);
        if (id < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
        paths_[id] = path;
        return true;
    }

    std::size_t take(const char* bytes, DirtySet& into) {
        inotify_event event;
        std::memcpy(&event, bytes, sizeof event);
        const std::size_t length = sizeof event + event.len;
        if (event.mask & IN_Q_OVERFLOW) {
            into.forget("the kernel's queue of events overflowed");
            // Events of new directories may be among what was lost.
            if (!watch_below("")) into.forget("no more inotify watches");
            return length;
        }
        const auto at = paths_.find(event.wd);
        if (at == paths_.end()) return length;
        if (event.mask & IN_IGNORED) {
            paths_.erase(at);
            return length;
        }
        const std::string directory = at->second;
        const std::string path = event.len == 0      ? directory
                                 : directory.empty() ? std::string(bytes + sizeof event)
                                                     : join_path(directory, bytes + sizeof event);
        const bool is_new_directory =
            (event.mask & IN_ISDIR) && (event.mask & (IN_CREATE | IN_MOVED_TO));
        if (is_new_directory && !watch_below(path)) into.forget("no more inotify watches");
        into.add(path, is_new_directory);
        if (event.mask & kEntriesChange) into.add(directory, false);
        return length;
    }

    UniqueFd fd_;
    const std::string root_;
    std::vector<char> buffer_;
    std::unordered_map<int, std::string> paths_;  // of watches, relative
};

}  // namespace

std::unique_ptr<Notifier> create_inotify(int root_fd, const std::string&) {
    UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!fd) return nullptr;
    auto notifier = std::make_unique<Inotify>(std::move(fd), root_fd);
    if (!notifier->watch_below("")) return nullptr;
    return notifier;
}

}  // namespace shale::watch
