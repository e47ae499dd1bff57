#include "directory_files.hpp"

#include <shale/confined.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace shale::build {
namespace {

constexpr std::size_t kOpenFiles = 128;

UniqueFd open_beneath(int directory, const std::string& path) {
    UniqueFd fd = open_resolved(directory, path, O_RDONLY | O_NOCTTY | O_NONBLOCK,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (!fd) throw_errno("open", path);
    return fd;
}

bool is_as_scanned(int fd, const snapshot::Entry& entry) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
    const std::int64_t mtime_ns = to_ns(status.st_mtim);
    return static_cast<std::uint64_t>(status.st_size) == entry.size && mtime_ns == entry.mtime_ns;
}

}  // namespace

DirectoryFiles::DirectoryFiles(const std::string& directory, const snapshot::Tree& tree)
    : directory_(open_file(directory, O_PATH | O_DIRECTORY)), tree_(tree) {}

std::shared_ptr<UniqueFd> DirectoryFiles::open(snapshot::NodeId node) {
    const std::lock_guard lock(mutex_);
    if (const auto known = places_.find(node); known != places_.end()) {
        recent_.splice(recent_.begin(), recent_, known->second);
        return recent_.front().fd;
    }
    auto fd = std::make_shared<UniqueFd>(open_beneath(directory_.get(), tree_.path(node)));
    recent_.push_front({node, fd});
    places_[node] = recent_.begin();
    if (recent_.size() > kOpenFiles) {  // whoever reads from it keeps it open
        places_.erase(recent_.back().node);
        recent_.pop_back();
    }
    return fd;
}

std::size_t DirectoryFiles::read(snapshot::NodeId node, std::uint64_t offset, MutableBytes out) {
    const auto entry = tree_.entry(node);
    if (offset >= entry.size) return 0;
    out = out.first(std::min<std::uint64_t>(out.size(), entry.size - offset));
    const auto fd = open(node);
    const auto check = [&] {
        if (!is_as_scanned(fd->get(), entry))
            fail(ErrorKind::Corrupt, "the file has changed since the build began");
    };
    check();
    pread_exact(fd->get(), out, offset, tree_.path(node));
    check();
    return out.size();
}

}  // namespace shale::build
