// Extraction, entry by entry. Nothing here passes a path of more than one component to the kernel
// (except /proc/self/fd/N of a descriptor just opened), so no link can redirect it.
#include "extract.hpp"

#include "metadata.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace shale::layer {

namespace {

constexpr std::size_t kCopyBytes = 128 << 10;  // and what a hole has at least
// A file that is handed over whole.
constexpr std::uint64_t kMostAtOnce = 1 << 20;
constexpr mode_t kUnfinishedDirectory = 0700, kUnfinishedFile = 0600;

[[noreturn]] void corrupt(const tar::Member& member, std::string_view why) {
    fail(ErrorKind::Corrupt, fmt::format("archive member \"{}\" {}", member.path, why));
}

bool is_directory(int parent, const std::string& name) {
    struct stat info {};
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
    return S_ISDIR(info.st_mode);
}

UniqueFd open_itself(int parent, const std::string& name, const std::string& path) {
    UniqueFd fd(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) throw_errno("open", path);
    return fd;
}

void remove_entry(int parent, const std::string& name, const std::string& path) {
    if (!remove_tree(fmt::format("/proc/self/fd/{}/{}", parent, name)))
        fail(ErrorKind::System, fmt::format("'{}' could not be removed entirely", path));
}

std::vector<std::string> names_in(int parent, const std::string& name, const std::string& path) {
    UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) throw_errno("open", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), &::closedir);
    if (!stream) throw_errno("read directory", path);
    fd.release();
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view child = entry->d_name;
        if (child != "." && child != "..") names.emplace_back(child);
    }
    if (errno != 0) throw_errno("read directory", path);
    return names;
}

// Fewer bytes only at the end.
std::size_t fill(MutableBytes out, tar::Reader& reader) {
    std::size_t filled = 0;
    while (filled < out.size()) {
        const std::size_t got = reader.read(out.subspan(filled));
        if (got == 0) break;
        filled += got;
    }
    return filled;
}

std::vector<std::byte> content(const tar::Member& member, tar::Reader& reader) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(member.size));
    bytes.resize(fill(bytes, reader));
    return bytes;
}

bool is_zero(Bytes bytes) {
    return bytes.front() == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// A tar does not tell holes from zeros. Databases and disk images are full of both, and need no
// blocks for either.
void write_with_holes(int fd, const tar::Member& member, tar::Reader& reader) {
    std::vector<std::byte> buffer(kCopyBytes);
    bool ends_in_hole = false;
    while (const std::size_t got = fill(buffer, reader)) {
        const Bytes bytes = Bytes(buffer).first(got);
        ends_in_hole = is_zero(bytes);
        if (!ends_in_hole)
            write_all(fd, bytes, member.path);
        else if (::lseek(fd, static_cast<off_t>(got), SEEK_CUR) < 0)
            throw_errno("lseek", member.path);
    }
    if (ends_in_hole && ::ftruncate(fd, static_cast<off_t>(member.size)) != 0)
        throw_errno("ftruncate", member.path);
}

tar::Member plain_directory(const std::string& path) {
    tar::Member member;
    member.path = path;
    member.type = tar::MemberType::Directory;
    member.mode = 0755;
    return member;
}

}  // namespace

Extraction::Extraction(const std::string& directory) : walker_(directory) {}

void Extraction::add(const tar::Member& member, tar::Reader& reader) {
    const auto whiteout = tar::classify_whiteout(member.path);
    if (whiteout.kind != tar::WhiteoutKind::None) return remove_lower(whiteout, member.path);
    if (member.path.empty()) return add_root(member);
    const Place place = place_of(member.path);
    switch (member.type) {
    case tar::MemberType::Directory:
        add_directory(member, place);
        break;
    case tar::MemberType::Regular:
        add_regular(member, place, reader);
        break;
    case tar::MemberType::Hardlink:
        add_hardlink(member, place);
        break;
    default:
        add_special(member, place);
        break;
    }
    standing_[place.path] = Standing::Listed;
}

Extraction::Place Extraction::place_of(const std::string& member_path) {
    const std::size_t slash = member_path.rfind('/');
    const std::string above = slash == std::string::npos ? "" : member_path.substr(0, slash);
    auto parent = walker_.walk(above, RootWalker::Missing::Create);
    for (const std::string& path : walker_.created())
        times_[path] = {};  // as merge() makes them
    walker_.created().clear();
    if (!parent)
        fail(ErrorKind::Corrupt,
             fmt::format("archive member \"{}\" lies below something that is no directory",
                         member_path));
    enter_parent(*parent);
    Place place{std::move(*parent), member_path.substr(slash + 1), {}};
    place.path = join_path(place.parent.path, place.name);
    return place;
}

void Extraction::enter_parent(const RootWalker::Directory& parent) {
    remember_times(parent);
    if (any_marked_ && parent.path == marked_parent_) return;
    any_marked_ = true;
    marked_parent_ = parent.path;
    for (std::string path = parent.path; !path.empty();) {
        if (!standing_.try_emplace(path, Standing::PassedThrough).second) break;
        const std::size_t slash = path.rfind('/');
        path.resize(slash == std::string::npos ? 0 : slash);
    }
}

void Extraction::remember_times(const RootWalker::Directory& directory) {
    const auto at = times_.lower_bound(directory.path);
    if (at != times_.end() && at->first == directory.path) return;
    times_.emplace_hint(at, directory.path, DirectoryEnd{mtime_of(directory.fd), std::nullopt});
}

// Removes what stands where a new entry goes.
void Extraction::clear_way(const Place& place) {
    walker_.forget(place.path);
    // place.parent lies above what was forgotten, so its descriptor is still open.
    remove_entry(place.parent.fd, place.name, place.path);
}

void Extraction::add_directory(const tar::Member& member, const Place& place) {
    if (!is_directory(place.parent.fd, place.name)) {
        clear_way(place);
        if (::mkdirat(place.parent.fd, place.name.c_str(), kUnfinishedDirectory) != 0)
            throw_errno("mkdir", member.path);
    }
    const UniqueFd fd = open_itself(place.parent.fd, place.name, member.path);
    // The mode comes last: without root, a directory that is not writable could not be filled.
    set_metadata(fd.get(), member, false);
    times_[place.path] = {member.mtime_ns, member.mode};
}

void Extraction::add_root(const tar::Member& member) {
    const auto root = walker_.walk("");
    set_metadata(root->fd, member, false);
    times_[""] = {member.mtime_ns, member.mode};
}

void Extraction::add_regular(const tar::Member& member, const Place& place, tar::Reader& reader) {
    clear_way(place);
    UniqueFd fd(::openat(place.parent.fd, place.name.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kUnfinishedFile));
    if (!fd) throw_errno("create", member.path);
    if (member.size <= kMostAtOnce)
        return files_.finish(std::move(fd), member, content(member, reader));
    write_with_holes(fd.get(), member, reader);
    finish_file(fd.get(), member);
}

void Extraction::add_hardlink(const tar::Member& member, const Place& place) {
    // The walk to the target may close the descriptor of the place.
    const UniqueFd parent(::fcntl(place.parent.fd, F_DUPFD_CLOEXEC, 0));
    if (!parent) throw_errno("dup", member.path);
    const std::size_t slash = member.link_target.rfind('/');
    const std::string name = member.link_target.substr(slash + 1);
    const auto directory =
        walker_.walk(slash == std::string::npos ? "" : member.link_target.substr(0, slash));
    const std::string target = directory ? join_path(directory->path, name) : "";
    if (target == place.path || target.starts_with(place.path + "/"))
        corrupt(member, "is a hardlink to itself");
    if (directory && is_directory(directory->fd, name))
        corrupt(member, fmt::format("is a hardlink to the directory \"{}\"", member.link_target));
    const UniqueFd source(directory ? ::fcntl(directory->fd, F_DUPFD_CLOEXEC, 0) : -1);
    walker_.forget(place.path);
    remove_entry(parent.get(), place.name, place.path);
    if (!source || ::linkat(source.get(), name.c_str(), parent.get(), place.name.c_str(), 0) != 0) {
        if (source && errno != ENOENT) throw_errno("link", member.path);
        corrupt(member,
                fmt::format("is a hardlink to \"{}\", which does not exist", member.link_target));
    }
}

void Extraction::add_special(const tar::Member& member, const Place& place) {
    clear_way(place);
    const int parent = place.parent.fd;
    const char* name = place.name.c_str();
    if (member.type == tar::MemberType::Symlink) {
        if (::symlinkat(member.link_target.c_str(), parent, name) != 0)
            throw_errno("symlink", member.path);
    } else if (member.type == tar::MemberType::Fifo) {
        if (::mkfifoat(parent, name, kUnfinishedFile) != 0) throw_errno("mkfifo", member.path);
    } else {
        const mode_t kind = member.type == tar::MemberType::CharDevice ? S_IFCHR : S_IFBLK;
        const dev_t device = ::makedev(member.device_major, member.device_minor);
        if (::mknodat(parent, name, kind | kUnfinishedFile, device) != 0)
            throw_errno(errno == EPERM ? "create device node (needs CAP_MKNOD)"
                                       : "create device node",
                        member.path);
    }
    const UniqueFd fd = open_itself(parent, place.name, member.path);
    set_metadata(fd.get(), member);
    set_mtime(parent, place.name, member.mtime_ns, member.path);
}

// --- removal
// --------------------------------------------------------------------------------------

void Extraction::remove_lower(const tar::Whiteout& whiteout, const std::string& member_path) {
    if (whiteout.kind == tar::WhiteoutKind::Whiteout && whiteout.path.empty()) return;
    const std::size_t slash = member_path.rfind('/');
    const auto parent =
        walker_.walk(slash == std::string::npos ? "" : member_path.substr(0, slash));
    if (!parent) return;  // nothing there to hide
    remember_times(*parent);
    if (whiteout.kind == tar::WhiteoutKind::Opaque) {
        remove_lower_children(parent->fd, ".", parent->path);
    } else {
        const std::string name = whiteout.path.substr(whiteout.path.rfind('/') + 1);
        remove_lower_entry(parent->fd, name, join_path(parent->path, name));
    }
}

void Extraction::remove_lower_entry(int parent, const std::string& name, const std::string& path) {
    const auto standing = standing_.find(path);
    if (standing == standing_.end()) {
        walker_.forget(path);
        times_.erase(path);
        remove_entry(parent, name, path);
        return;
    }
    if (!is_directory(parent, name)) return;
    remove_lower_children(parent, name, path);
    // The directory that was here is gone as well; what holds the layer's entries is a new one.
    if (standing->second == Standing::PassedThrough) {
        const UniqueFd fd = open_itself(parent, name, path);
        set_metadata(fd.get(), plain_directory(path));
        times_[path] = {};
    }
}

void Extraction::remove_lower_children(int parent, const std::string& name,
                                       const std::string& path) {
    const UniqueFd fd(
        ::openat(parent, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) throw_errno("open", path);
    for (const std::string& child : names_in(fd.get(), ".", path))
        remove_lower_entry(fd.get(), child, join_path(path, child));
}

void Extraction::finish() {
    files_.wait();
    for (const auto& [path, end] : times_) {
        const auto directory = walker_.walk(path);
        // Not there any more, or something else by now, if a later member replaced it.
        if (!directory || directory->path != path) continue;
        if (end.mode) set_mode(directory->fd, *end.mode, path);
        try {
            set_mtime(directory->fd, end.mtime_ns, path.empty() ? "the directory" : path);
        } catch (const Error& error) {
            // One that was there before may be somebody else's: /tmp, for most.
            if (end.mode || error.sys_errno() != EPERM) throw;
        }
    }
}

}  // namespace shale::layer
