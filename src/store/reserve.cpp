#include "reserve.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace shale::store {

namespace {

// What SQLite takes to open a database and to forget some records, and a new index.
constexpr std::uint64_t kReserveBytes = 512 << 10;
constexpr std::uint64_t kPlenty = 64 << 20;
// No command gets anywhere with less.
constexpr std::uint64_t kNothing = 256 << 10;

std::string reserve_of(const std::string& root) {
    return join_path(root, "reserve");
}

}  // namespace

// One that was killed between its steps leaves a file without blocks.
void keep_reserve(const std::string& root) {
    const std::string path = reserve_of(root);
    struct stat info {};
    const bool is_there = ::stat(path.c_str(), &info) == 0 && info.st_blocks != 0;
    if (is_there || free_bytes(root) < kPlenty) return;
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    // Not posix_fallocate(), which would write zeros where the file system cannot set blocks aside.
    if (file && ::fallocate(file.get(), 0, 0, kReserveBytes) != 0) ::unlink(path.c_str());
}

bool use_reserve(const std::string& root) {
    return is_full(root) && ::unlink(reserve_of(root).c_str()) == 0;
}

bool is_full(const std::string& path) {
    return free_bytes(path) < kNothing;
}

std::uint64_t free_bytes(const std::string& path) {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) throw_errno("statvfs", path);
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

bool has_spare_room(const std::string& path, std::uint64_t bytes) {
    constexpr std::uint64_t kFreeShare = 10;
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) throw_errno("statvfs", path);
    const std::uint64_t free = status.f_bavail * status.f_frsize;
    const std::uint64_t spared = status.f_blocks * status.f_frsize / kFreeShare;
    return free >= spared && bytes <= free - spared;
}

}  // namespace shale::store
