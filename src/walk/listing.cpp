// Reading one directory: getdents64 with a large buffer, sort, then stat in name order relative to
// the open directory. Nothing is resolved from the root and no symbolic link is followed.
#include "listing.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>

namespace shale::walk {

namespace {

// One call reads some 8000 names; larger buffers measured no better.
constexpr std::size_t kDirentBytes = 256 << 10;
// Entries whose attributes are asked for at once.
constexpr std::size_t kBatch = 256;

struct DirentHead {  // struct linux_dirent64 up to the name
    std::uint64_t ino;
    std::int64_t next;
    std::uint16_t bytes;
    std::uint8_t type;
};
constexpr std::size_t kDirentNameOffset = 19;

// ENAMETOOLONG: of a name that somebody else gave.
bool is_gone(int error) {
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG;
}

// File systems that take "Foo" for "foo" (linux/magic.h; exFAT, NTFS and SMB2 are in fs/ only), and
// directories of others that were told to. There a name can be found that is not one.
bool folds_case(int directory) {
    constexpr long kExfat = 0x2011BAB0, kNtfs = 0x5346544e, kNtfs3 = 0x7366746e;
    constexpr long kCifs = 0xFF534D42, kSmb2 = 0xFE534D42;
    unsigned flags = 0;
    if (::ioctl(directory, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL)) return true;
    struct statfs status {};
    if (::fstatfs(directory, &status) != 0) return true;
    const long type = status.f_type;
    return type == MSDOS_SUPER_MAGIC || type == kExfat || type == kNtfs || type == kNtfs3 ||
           type == kCifs || type == kSmb2 || type == SMB_SUPER_MAGIC;
}

// How often this thread has gone to sleep of its own accord. Reading a directory takes no lock of
// ours, so what slept has waited for the disk.
long sleeps() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

// Bind mounts share the device number with what they cover, so the device alone does not tell.
bool is_mount_root(int dir_fd, const char* name, std::uint64_t dev) {
    struct statx status {};
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    if (::statx(dir_fd, name, flags, 0, &status) == 0 &&
        (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    struct stat parent {};
    return ::fstat(dir_fd, &parent) == 0 && parent.st_dev != dev;
}

Record record_of(const Attributes& from) {
    Record record;
    record.size = from.size;
    record.dev = from.dev;
    record.ino = from.ino;
    record.blocks = from.blocks;
    record.mtime_ns = from.mtime_ns;
    record.ctime_ns = from.ctime_ns;
    record.uid = from.uid;
    record.gid = from.gid;
    record.nlink = from.nlink;
    record.device_major = from.device_major;
    record.device_minor = from.device_minor;
    record.mode = static_cast<std::uint16_t>(from.mode & 07777);
    return record;
}

}  // namespace

std::shared_ptr<Listing> ListingReader::read(int parent_fd, const char* name,
                                             const std::string& path, const std::string& where) {
    auto listing = std::make_shared<Listing>();
    const long slept = sleeps();
    try {
        fill(*listing, parent_fd, name, path, where);
    } catch (...) {  // rethrown on the walking thread, in its place in the stream
        listing->failure = std::current_exception();
    }
    listing->blocked = sleeps() != slept;
    directories_blocked_ += listing->blocked;
    return listing;
}

void ListingReader::fill(Listing& listing, int parent_fd, const char* name, const std::string& path,
                         const std::string& where) {
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    listing.fd.reset(::openat(parent_fd, name, flags));
    if (!listing.fd && is_gone(errno)) {
        listing.vanished = true;
        return;
    }
    if (!listing.fd) throw_errno("open directory", where);
    ++stats_.directories_opened;
    const auto* const only = options_.only ? options_.only(path) : nullptr;
    std::vector<Name> names;
    if (only == nullptr || folds_case(listing.fd.get())) {
        names = read_names(listing, where);
        if (only != nullptr)
            std::erase_if(names, [&](const Name& found) {
                const std::string_view text = listing.text;
                return !std::ranges::binary_search(*only, text.substr(found.offset, found.bytes));
            });
    } else {
        for (const std::string& wanted : *only)
            names.push_back(append_name(listing, wanted, where));
    }
    listing.records.reserve(names.size());
    const int fd = listing.fd.get();
    for (std::size_t first = 0; first < names.size(); first += kBatch) {
        const std::size_t count = std::min(kBatch, names.size() - first);
        batch_.resize(count);
        name_pointers_.clear();
        for (std::size_t at = 0; at < count; ++at)
            name_pointers_.push_back(listing.text.data() + names[first + at].offset);
        stats_.stat_calls += count;
        attributes_->read(fd, name_pointers_, batch_);
        // Appending targets may move the text, so pointers into it end with the batch.
        for (std::size_t at = 0; at < count; ++at)
            append_record(listing, fd, names[first + at], batch_[at], where);
    }
}

ListingReader::Name ListingReader::append_name(Listing& listing, std::string_view name,
                                               const std::string& where) {
    if (listing.text.size() > std::numeric_limits<std::uint32_t>::max() - PATH_MAX)
        fail(ErrorKind::Unsupported, "'" + where + "' holds more than 4 GiB of names");
    const Name entry{static_cast<std::uint32_t>(listing.text.size()),
                     static_cast<std::uint16_t>(name.size())};
    listing.text.append(name).push_back('\0');
    return entry;
}

std::vector<ListingReader::Name> ListingReader::read_names(Listing& listing,
                                                           const std::string& where) {
    buffer_.resize(kDirentBytes);
    std::vector<Name> names;
    for (;;) {
        const long filled =
            ::syscall(SYS_getdents64, listing.fd.get(), buffer_.data(), buffer_.size());
        if (filled < 0 && errno == ENOENT) break;  // removed while open
        if (filled < 0) throw_errno("read directory", where);
        if (filled == 0) break;
        for (long at = 0; at < filled;) {
            DirentHead head;
            std::memcpy(&head, buffer_.data() + at, sizeof head);
            const std::string_view name = buffer_.data() + at + kDirentNameOffset;
            at += head.bytes;
            if (name == "." || name == "..") continue;
            names.push_back(append_name(listing, name, where));
        }
    }
    std::sort(names.begin(), names.end(), [&](const Name& a, const Name& b) {
        const std::string_view text = listing.text;
        return text.substr(a.offset, a.bytes) < text.substr(b.offset, b.bytes);
    });
    return names;
}

bool ListingReader::append_record(Listing& listing, int dir_fd, std::uint32_t name_offset,
                                  std::uint16_t name_bytes, const std::string& where) {
    ++stats_.stat_calls;
    Attributes attributes;
    read_attributes(dir_fd, listing.text.data() + name_offset, attributes);
    return append_record(listing, dir_fd, {name_offset, name_bytes}, attributes, where);
}

bool ListingReader::append_record(Listing& listing, int dir_fd, const Name& entry,
                                  const Attributes& attributes, const std::string& where) {
    const char* name = listing.text.data() + entry.offset;
    const std::uint16_t name_bytes = entry.bytes;
    const auto entry_path = [&] { return join_path(where, {name, name_bytes}); };
    if (is_gone(attributes.error)) return false;
    if (attributes.error) throw_errno(attributes.error, "stat", entry_path());
    const auto type = file_type_of(attributes.mode);
    if (!type) fail(ErrorKind::Unsupported, "'" + entry_path() + "' is of an unknown file type");
    Record record = record_of(attributes);
    record.type = *type;
    record.name_offset = entry.offset;
    record.name_bytes = name_bytes;
    if (options_.read_xattrs) {
        auto xattrs = xattrs_.read(dir_fd, name, record.dev, where);
        if (!xattrs.empty()) {
            record.xattrs = static_cast<std::uint32_t>(listing.xattrs.size());
            listing.xattrs.push_back(std::move(xattrs));
        }
    }
    if (*type == FileType::Directory && !options_.cross_mounts && name_bytes)
        record.is_mount_point = is_mount_root(dir_fd, name, record.dev);
    if (*type == FileType::Symlink && !read_target(listing, record, dir_fd, where)) return false;
    listing.records.push_back(record);
    return true;
}

bool ListingReader::read_target(Listing& listing, Record& record, int dir_fd,
                                const std::string& where) {
    char target[PATH_MAX];
    const ssize_t bytes = ::readlinkat(dir_fd, listing.c_name(record), target, sizeof target);
    if (bytes < 0 && (is_gone(errno) || errno == EINVAL)) return false;  // EINVAL: no link any more
    if (bytes < 0) throw_errno("readlink", join_path(where, listing.name(record)));
    record.target_offset = static_cast<std::uint32_t>(listing.text.size());
    record.target_bytes = static_cast<std::uint32_t>(bytes);
    listing.text.append(target, static_cast<std::size_t>(bytes));
    return true;
}

Stats ListingReader::stats() const {
    Stats stats = stats_;
    stats.xattr_calls = xattrs_.calls();
    return stats;
}

}  // namespace shale::walk
