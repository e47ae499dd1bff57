// One fanotify mark on the whole file system.
//
// Set up in one call, whatever the size of the tree, and nothing is missed while directories are
// made or moved. Events name a directory by its handle and an entry in it by name; the handle is
// opened and asked for its path, which is the present one: if the directory has been moved
// meanwhile, the move is an event of its own that makes all of it dirty. A handle that cannot be
// opened any more belonged to a directory that was removed, which its parent's event tells.
#include "notifier.hpp"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

namespace shale::watch {

namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
constexpr std::uint64_t kMask = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO |
                                FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_ONDIR;
constexpr std::uint64_t kEntriesChange =
    FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;  // and with them the directory

class Fanotify final : public Notifier {
  public:
    Fanotify(UniqueFd fd, int root_fd, const std::string& root)
        : fd_(std::move(fd)), root_fd_(root_fd), root_(root), buffer_(kBufferBytes) {}

    int fd() const override { return fd_.get(); }
    std::string_view name() const override { return "fanotify"; }

    void drain(DirtySet& into) override {
        for (;;) {
            const ssize_t filled = ::read(fd_.get(), buffer_.data(), buffer_.size());
            if (filled < 0 && errno == EINTR) continue;
            if (filled < 0 && errno == EAGAIN) return;
            if (filled < 0) throw_errno("read fanotify events of", root_);
            root_ = present_root();
            for (std::size_t at = 0; at + sizeof(fanotify_event_metadata) <= std::size_t(filled);)
                at += take(at, into);
            // Paths were told from a place that it has left meanwhile.
            if (present_root() != root_) into.forget("the directory was moved");
        }
    }

  private:
    std::size_t take(std::size_t at, DirtySet& into) {
        fanotify_event_metadata event;
        std::memcpy(&event, buffer_.data() + at, sizeof event);
        if (event.mask & FAN_Q_OVERFLOW) {
            into.forget("the kernel's queue of events overflowed");
            return event.event_len;
        }
        std::size_t info = at + event.metadata_len;
        const std::size_t end = at + event.event_len;
        while (info + sizeof(fanotify_event_info_header) <= end) {
            fanotify_event_info_header header;
            std::memcpy(&header, buffer_.data() + info, sizeof header);
            if (header.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME)
                take_name(event.mask, info, into);
            info += std::max<std::size_t>(header.len, sizeof header);
        }
        return event.event_len;
    }

    void take_name(std::uint64_t mask, std::size_t info, DirtySet& into) {
        auto* record = reinterpret_cast<fanotify_event_info_fid*>(buffer_.data() + info);
        auto* handle = reinterpret_cast<file_handle*>(record->handle);
        // The name follows the handle's bytes.
        const char* name = buffer_.data() + info + offsetof(fanotify_event_info_fid, handle) +
                           sizeof(file_handle) + handle->handle_bytes;
        const auto directory = path_of(handle, into);
        if (!directory) return;
        const bool is_directory = mask & FAN_ONDIR;
        const bool is_itself = *name == '\0' || std::string_view(name) == ".";
        const std::string path = is_itself ? *directory : join_path(*directory, name);
        if (const auto below = relative(path))
            into.add(*below, is_directory && (mask & (FAN_CREATE | FAN_MOVED_TO)));
        if (mask & kEntriesChange)
            if (const auto above = relative(*directory)) into.add(*above, false);
    }

    // nullopt if it is gone, or if it cannot be said where it is: then nothing is certain any more.
    std::optional<std::string> path_of(file_handle* handle, DirtySet& into) const {
        const UniqueFd directory = open_directory(handle);
        if (!directory) {
            if (errno != ESTALE && errno != ENOENT)
                into.forget("a directory that changed cannot be opened: " +
                            std::string(std::strerror(errno)));
            return std::nullopt;
        }
        struct stat status {};
        if (::fstat(directory.get(), &status) != 0 || status.st_nlink == 0) return std::nullopt;
        auto path = path_of_fd(directory.get());
        if (!path) into.forget("a directory that changed has too long a path");
        return path;
    }

    // ext4 says ENOMEM, too, for the moment in which the number of a removed directory becomes that
    // of a new one (iget_locked() finds an inode under creation). So that is asked again.
    UniqueFd open_directory(file_handle* handle) const {
        constexpr int kTries = 20;
        for (int tries = 1;; ++tries) {
            UniqueFd directory(
                ::open_by_handle_at(root_fd_, handle, O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (directory || errno != ENOMEM || tries == kTries) return directory;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    // nullopt if it has more bytes than the kernel tells.
    static std::optional<std::string> path_of_fd(int fd) {
        char path[PATH_MAX];
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        const ssize_t bytes = ::readlink(link.c_str(), path, sizeof path);
        if (bytes == sizeof path || (bytes < 0 && errno == ENAMETOOLONG)) return std::nullopt;
        if (bytes < 0) throw_errno("readlink", link);
        return std::string(path, static_cast<std::size_t>(bytes));
    }
    std::string present_root() const {
        auto path = path_of_fd(root_fd_);
        if (!path) throw_errno(ENAMETOOLONG, "find the path of", root_);
        return *std::move(path);
    }

    std::optional<std::string_view> relative(std::string_view path) const {
        if (path == root_) return std::string_view();
        if (root_ == "/") return path.substr(1);
        if (!path.starts_with(root_) || path[root_.size()] != '/') return std::nullopt;
        return path.substr(root_.size() + 1);
    }

    UniqueFd fd_;
    const int root_fd_;
    std::string root_;
    std::vector<char> buffer_;
};

}  // namespace

std::unique_ptr<Notifier> create_fanotify(int root_fd, const std::string& root) {
    const unsigned flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME;
    UniqueFd fd(::fanotify_init(flags, O_RDONLY | O_CLOEXEC));
    if (!fd) return nullptr;
    if (::fanotify_mark(fd.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kMask, root_fd, nullptr) != 0)
        return nullptr;
    // Whoever may mark may not be allowed to open by handle, or the file system cannot.
    alignas(file_handle) unsigned char memory[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
    auto* handle = reinterpret_cast<file_handle*>(memory);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    if (::name_to_handle_at(root_fd, "", handle, &mount, AT_EMPTY_PATH) != 0) return nullptr;
    const UniqueFd probe(::open_by_handle_at(root_fd, handle, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!probe) return nullptr;
    return std::make_unique<Fanotify>(std::move(fd), root_fd, root);
}

}  // namespace shale::watch
