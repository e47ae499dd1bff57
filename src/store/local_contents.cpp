// One file per content, written and synced among the scratch data before it gets its name. When it
// was used last is its time of access, which we set ourselves.
#include "reserve.hpp"

#include <shale/local_contents.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

namespace shale::store {

namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr mode_t kMode = 0644;
// The second of January 1970: what writes to a file sets its time to another.
constexpr timespec kTime{86'400, 0};

void set_times(const std::string& path, const timespec& used, const timespec& modified) {
    const timespec times[2] = {used, modified};
    if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        throw_errno("utimensat", path);
}

void write_content(const std::string& path, const Digest& content, const codec::Source& source) {
    const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    codec::Sha256 hash;
    std::string buffer(kReadBytes, '\0');
    while (const std::size_t count = source(std::as_writable_bytes(std::span(buffer)))) {
        const Bytes read = as_bytes(buffer).first(count);
        hash.update(read);
        write_all(file.get(), read, path);
    }
    if (const Digest found = hash.finish(); found != content)
        fail(ErrorKind::Corrupt, "content " + content.str() + " hashes to " + found.str());
    if (::fchmod(file.get(), kMode) != 0) throw_errno("fchmod", path);
    set_times(path, {0, UTIME_NOW}, kTime);
    if (::fsync(file.get()) != 0) throw_errno("fsync", path);
}

}  // namespace

LocalContents::LocalContents(Store& store)
    : store_(store), directory_(join_path(store.root(), "contents")) {}

std::string LocalContents::path_of(const Digest& content) const {
    return join_path(directory_, content.hex());
}

bool LocalContents::has(const Digest& content, std::uint64_t bytes) const {
    struct stat status {};
    return ::lstat(path_of(content).c_str(), &status) == 0 && status.st_mode == (S_IFREG | kMode) &&
           status.st_uid == ::geteuid() && static_cast<std::uint64_t>(status.st_size) == bytes &&
           to_ns(status.st_mtim) == to_ns(kTime);
}

bool LocalContents::link(const Digest& content, std::uint64_t bytes,
                         const std::string& path) const {
    if (!has(content, bytes)) return false;
    if (::link(path_of(content).c_str(), path.c_str()) != 0) throw_errno("link", path);
    set_times(path, {0, UTIME_NOW}, {0, UTIME_OMIT});
    return true;
}

bool LocalContents::make_room_for(std::uint64_t bytes) const {
    if (bytes > kMostBytes || !has_spare_room(directory_, bytes)) return false;
    struct File {
        std::int64_t used_ns;
        std::uint64_t bytes;
        std::string path;
    };
    std::vector<File> files;
    std::uint64_t total = bytes;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory_, error), end; !error && at != end;
         at.increment(error)) {
        struct stat status {};
        if (::lstat(at->path().c_str(), &status) != 0) continue;
        const auto size = static_cast<std::uint64_t>(status.st_size);
        files.push_back({to_ns(status.st_atim), size, at->path().string()});
        total += size;
    }
    std::sort(files.begin(), files.end(),
              [](const File& a, const File& b) { return a.used_ns < b.used_ns; });
    for (auto file = files.begin(); total > kMostBytes && file != files.end(); ++file)
        if (::unlink(file->path.c_str()) == 0) total -= file->bytes;
    return total <= kMostBytes;
}

bool LocalContents::put(const Digest& content, std::uint64_t bytes, const codec::Source& source) {
    if (has(content, bytes)) return true;
    make_directories(directory_);
    if (!make_room_for(bytes)) return false;
    const TempDir scratch = store_.scratch("content-");
    const std::string path = join_path(scratch.path(), "content");
    write_content(path, content, source);
    if (::rename(path.c_str(), path_of(content).c_str()) != 0)
        throw_errno("rename", path_of(content));
    return true;
}

}  // namespace shale::store
