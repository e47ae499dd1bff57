// The cache of open blob files: a mount reads thousands of frames from a dozen layers, and an
// open/close pair per frame would cost more than many of the reads.
#include "blob_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace shale::store {

namespace {
// Images have at most 127 layers and few processes have more than 1024 descriptors to spend; two of
// these caches (plain and framed) leave plenty of them.
constexpr std::size_t kOpenFiles = 160;
}  // namespace

BlobFiles::BlobFiles(std::vector<std::string> directories)
    : directories_(std::move(directories)), open_files_(kOpenFiles) {}

std::shared_ptr<const BlobFiles::File> BlobFiles::open_anew(const Digest& blob) const {
    for (const std::string& directory : directories_) {
        auto file = std::make_shared<File>();
        file->path = join_path(directory, blob.hex());
        file->fd.reset(::open(file->path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!file->fd && errno == ENOENT) continue;
        if (!file->fd) throw_errno("open", file->path);
        struct stat status {};
        if (::fstat(file->fd.get(), &status) != 0) throw_errno("fstat", file->path);
        if (!S_ISREG(status.st_mode))
            fail(ErrorKind::Corrupt, "blob '" + file->path + "' is not a regular file");
        file->bytes = static_cast<std::uint64_t>(status.st_size);
        return file;
    }
    fail(ErrorKind::NotFound, "blob " + blob.str() + " is not in " + directories_.back());
}

std::shared_ptr<const BlobFiles::File> BlobFiles::open(const Digest& blob) {
    std::uint64_t forgotten_before = 0;
    {
        std::lock_guard lock(mutex_);
        if (auto file = open_files_.find(blob)) return *file;
        forgotten_before = forgotten_;
    }
    // Two threads may both open it; the later one wins the slot and neither waits for the disk.
    auto file = open_anew(blob);
    std::lock_guard lock(mutex_);
    // What was opened before a forget() may be the very file that was to be forgotten.
    if (forgotten_ == forgotten_before) open_files_.put(blob, file);
    return file;
}

std::uint64_t BlobFiles::blob_size(const Digest& blob) {
    return open(blob)->bytes;
}

void BlobFiles::read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) {
    const auto file = open(blob);
    if (offset > file->bytes || out.size() > file->bytes - offset)
        fail(ErrorKind::Corrupt, "blob '" + file->path + "' has " + std::to_string(file->bytes) +
                                     " bytes; " + std::to_string(out.size()) +
                                     " were wanted at offset " + std::to_string(offset));
    pread_exact(file->fd.get(), out, offset, file->path);
}

void BlobFiles::forget(const Digest& blob) {
    std::lock_guard lock(mutex_);
    open_files_.erase(blob);
    ++forgotten_;
}

}  // namespace shale::store
