// One file per content, written beside its name and synced before it gets it.
#include <shale/local_contents.hpp>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>

namespace shale::store {

namespace {

constexpr std::size_t kReadBytes = 1 << 20;

}  // namespace

LocalContents::LocalContents(const Store& store)
    : directory_(join_path(store.root(), "contents")) {}

std::string LocalContents::path_of(const Digest& content) const {
    return join_path(directory_, content.hex());
}

bool LocalContents::has(const Digest& content, std::uint64_t bytes) const {
    struct stat status {};
    return ::lstat(path_of(content).c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           static_cast<std::uint64_t>(status.st_size) == bytes;
}

// What is here is there twice, so it may not be what fills a disk.
bool LocalContents::has_room_for(std::uint64_t bytes) const {
    struct statvfs disk {};
    if (::statvfs(directory_.c_str(), &disk) != 0) throw_errno("statvfs", directory_);
    if (disk.f_bavail < disk.f_blocks / 10 || bytes > disk.f_bavail * disk.f_frsize) return false;
    std::error_code ignored;
    for (const auto& item : std::filesystem::directory_iterator(directory_))
        bytes += item.is_regular_file(ignored) ? item.file_size(ignored) : 0;
    return bytes <= kMostBytes;
}

bool LocalContents::put(const Digest& content, std::uint64_t bytes, const codec::Source& source) {
    if (has(content, bytes)) return true;
    make_directories(directory_);
    if (!has_room_for(bytes)) return false;
    OutputFile file(path_of(content));
    codec::Sha256 hash;
    std::string buffer(kReadBytes, '\0');
    while (const std::size_t count = source(std::as_writable_bytes(std::span(buffer)))) {
        const Bytes read = as_bytes(buffer).first(count);
        hash.update(read);
        file.write(read);
    }
    if (const Digest found = hash.finish(); found != content)
        fail(ErrorKind::Corrupt, "content " + content.str() + " hashes to " + found.str());
    // After a crash it may be shorter than it should be, or hold zeros: it must be on the disk
    // before it has a name.
    file.commit();
    return true;
}

}  // namespace shale::store
