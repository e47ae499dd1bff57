#include "directory_files.hpp"

#include <shale/codec.hpp>
#include <shale/confined.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace shale::build {
namespace {

constexpr std::size_t kOpenFiles = 128;

UniqueFd open_beneath(int directory, const std::string& path) {
    UniqueFd fd = open_resolved(directory, path, O_RDONLY | O_NOCTTY | O_NONBLOCK,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (!fd) throw_errno("open", path);
    return fd;
}

// Nothing if it is no regular file of that size.
std::optional<std::int64_t> mtime_of(int fd, std::uint64_t size) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    if (static_cast<std::uint64_t>(status.st_size) != size) return std::nullopt;
    return to_ns(status.st_mtim);
}

Digest digest_of(int fd, std::uint64_t size, const std::string& path) {
    codec::Sha256 hash;
    std::vector<std::byte> buffer(std::min<std::uint64_t>(size, 1 << 20));
    for (std::uint64_t at = 0; at < size; at += buffer.size()) {
        const auto bytes =
            MutableBytes(buffer).first(std::min<std::uint64_t>(buffer.size(), size - at));
        pread_exact(fd, bytes, at, path);
        hash.update(bytes);
    }
    return hash.finish();
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

// An editor that saves, a checkout there and back: what counts is what the file holds.
void DirectoryFiles::check(int fd, snapshot::NodeId node, const snapshot::Entry& entry) {
    const auto mtime_ns = mtime_of(fd, entry.size);
    if (mtime_ns == entry.mtime_ns) return;
    const auto is_known = [&] {
        const std::lock_guard lock(mutex_);
        const auto known = touched_.find(node);
        return known != touched_.end() && mtime_ns && known->second == *mtime_ns;
    };
    if (is_known()) return;
    const std::lock_guard one_at_a_time(hashing_);
    if (is_known()) return;
    if (!mtime_ns || entry.content.is_zero() ||
        digest_of(fd, entry.size, tree_.path(node)) != entry.content ||
        mtime_of(fd, entry.size) != mtime_ns)
        fail(ErrorKind::Corrupt, "the file has changed since the build began");
    const std::lock_guard lock(mutex_);
    touched_[node] = *mtime_ns;
}

std::size_t DirectoryFiles::read_file(snapshot::NodeId node, std::uint64_t offset,
                                      MutableBytes out) {
    const auto entry = tree_.entry(node);
    if (offset >= entry.size) return 0;
    out = out.first(std::min<std::uint64_t>(out.size(), entry.size - offset));
    const auto fd = open(node);
    check(fd->get(), node, entry);
    pread_exact(fd->get(), out, offset, tree_.path(node));
    check(fd->get(), node, entry);
    return out.size();
}

std::size_t DirectoryFiles::read(snapshot::NodeId node, std::uint64_t offset, MutableBytes out) {
    try {
        return read_file(node, offset, out);
    } catch (const std::exception& error) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = "/" + tree_.path(node) + ": " + error.what();
        throw;
    }
}

std::optional<std::string> DirectoryFiles::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

}  // namespace shale::build
