// Descriptors, mappings, temporary directories and whole-file helpers. What deletes or replaces
// things works relative to open directories and never through a symbolic link, because scratch
// trees hold whatever a stranger's archive or command left in them.
#include <shale/base.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

namespace shale {

void UniqueFd::reset(int fd) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
}

void UniqueFd::close_checked(std::string_view subject) {
    if (fd_ >= 0 && ::close(release()) != 0) throw_errno("close", subject);
}

UniqueFd open_file(const std::string& path, int flags, unsigned mode) {
    return open_file_at(AT_FDCWD, path, flags, mode);
}

UniqueFd open_file_at(int dir_fd, const std::string& path, int flags, unsigned mode) {
    UniqueFd fd(::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode));
    if (!fd) throw_errno("open", path);
    return fd;
}

Mapping::Mapping(const std::string& path) {
    const UniqueFd fd = open_file(path, O_RDONLY);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_errno("fstat", path);
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) throw_errno("mmap", path);
    data_ = data;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (data_) ::munmap(data_, size_);
}

namespace {

// Levels that are descended into with a directory open for each of them.
constexpr int kOpenLevels = 32;
// The same where nothing can be moved, as long as the stack and the descriptors last.
constexpr int kMostLevels = 1000;

// Removes what is below one directory. A command may have nested directories deeper than a process
// can open; those too deep are moved up into the topmost one, for another round.
class TreeRemoval {
  public:
    explicit TreeRemoval(UniqueFd top) : top_(std::move(top)) {}

    bool run() {
        struct stat status {};
        if (::fstat(top_.get(), &status) != 0) return false;
        device_ = status.st_dev;
        do {
            has_moved_ = false;
            empty(UniqueFd(::openat(top_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), 0);
        } while (has_moved_);
        return is_clean_;
    }

  private:
    // The open directory `fd`. Never beyond one file system.
    void empty(UniqueFd fd, int depth) {
        DIR* const dir = fd ? ::fdopendir(fd.get()) : nullptr;
        if (dir == nullptr) {
            is_clean_ = false;
            return;
        }
        const int dir_fd = fd.release();
        while (const dirent* item = ::readdir(dir)) {
            const std::string_view name = item->d_name;
            if (name == "." || name == ".." || ::unlinkat(dir_fd, item->d_name, 0) == 0) continue;
            if ((errno != EISDIR && errno != EPERM) ||
                !remove_directory(dir_fd, item->d_name, depth))
                is_clean_ = false;
        }
        ::closedir(dir);
    }

    bool remove_directory(int parent, const char* name, int depth) {
        if (::unlinkat(parent, name, AT_REMOVEDIR) == 0) return true;
        if (depth == kMostLevels) return false;
        if (depth >= kOpenLevels && move_up(parent, name)) return true;
        UniqueFd child(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        struct stat status {};
        if (!child || ::fstat(child.get(), &status) != 0 || status.st_dev != device_) return false;
        empty(std::move(child), depth + 1);
        return ::unlinkat(parent, name, AT_REMOVEDIR) == 0 || has_moved_;
    }

    // False where directories cannot be moved: below an overlay, say.
    bool move_up(int parent, const char* name) {
        for (;;) {
            const std::string above = "deep-" + std::to_string(++moved_);
            struct stat status {};
            if (::fstatat(top_.get(), above.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
            if (::renameat(parent, name, top_.get(), above.c_str()) == 0) return has_moved_ = true;
            if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) return false;
        }
    }

    const UniqueFd top_;
    dev_t device_ = 0;
    std::uint64_t moved_ = 0;
    bool has_moved_ = false, is_clean_ = true;
};

}  // namespace

bool remove_tree(const std::string& path) noexcept {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return true;
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return false;
    const bool emptied = TreeRemoval(std::move(fd)).run();
    return ::rmdir(path.c_str()) == 0 && emptied;
}

std::string TempDir::default_parent() {
    const char* parent = std::getenv("TMPDIR");
    return parent && *parent ? parent : "/tmp";
}

TempDir::TempDir(const std::string& parent, const std::string& prefix) {
    path_ = join_path(parent, prefix + "XXXXXX");
    if (!::mkdtemp(path_.data())) throw_errno("mkdtemp", path_);
}

TempDir::~TempDir() {
    if (!path_.empty()) remove_tree(path_);
}

std::string read_file(const std::string& path, std::uint64_t limit) {
    const UniqueFd fd = open_file(path, O_RDONLY);
    std::string text;
    char buffer[64 << 10];
    for (;;) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("read", path);
        if (count == 0) return text;
        text.append(buffer, static_cast<std::size_t>(count));
        if (text.size() > limit)
            fail(ErrorKind::Invalid, path + ": larger than " + format_size(limit));
    }
}

void write_all(int fd, Bytes bytes, std::string_view subject) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("write", subject);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
}

void pread_exact(int fd, MutableBytes out, std::uint64_t offset, std::string_view subject) {
    while (!out.empty()) {
        const ssize_t count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("read", subject);
        if (count == 0)
            fail(ErrorKind::Corrupt, std::string(subject) + ": ends at offset " +
                                         std::to_string(offset) + ", " +
                                         std::to_string(out.size()) + " bytes short");
        out = out.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

namespace {
std::string parent_directory(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}
}  // namespace

void write_file_atomic(const std::string& path, Bytes bytes, unsigned mode) {
    std::string temporary = path + ".XXXXXX";
    UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) throw_errno("create", temporary);
    try {
        write_all(fd.get(), bytes, temporary);
        if (::fchmod(fd.get(), mode) != 0) throw_errno("fchmod", temporary);
        if (::fsync(fd.get()) != 0) throw_errno("fsync", temporary);
        fd.close_checked(temporary);
        if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno("rename", path);
    } catch (...) {  // nothing half-written stays behind
        ::unlink(temporary.c_str());
        throw;
    }
    const std::string directory = parent_directory(path);
    const UniqueFd dir_fd = open_file(directory, O_RDONLY | O_DIRECTORY);
    if (::fsync(dir_fd.get()) != 0) throw_errno("fsync", directory);
}

void make_directories(const std::string& path, unsigned mode) {
    if (::mkdir(path.c_str(), mode) == 0) return;
    if (errno == ENOENT) {
        make_directories(parent_directory(path), mode);
        if (::mkdir(path.c_str(), mode) == 0) return;
    }
    const int error = errno;
    struct stat status {};
    if (error == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return;
    throw_errno(error, "mkdir", path);
}

bool path_exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

std::string join_path(std::string_view base, std::string_view name) {
    std::string path(base);
    if (!path.empty() && path.back() != '/' && !name.empty()) path.push_back('/');
    while (!path.empty() && !name.empty() && name.front() == '/')
        name.remove_prefix(1);
    return path.append(name);
}

std::string clean_absolute_path(std::string_view path) {
    std::vector<std::string_view> parts;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
        if (part.empty() || part == ".") continue;
        if (part != "..")
            parts.push_back(part);
        else if (!parts.empty())
            parts.pop_back();
    }
    std::string clean;
    for (auto part : parts)
        clean.append("/").append(part);
    return clean.empty() ? "/" : clean;
}

std::optional<FileType> file_type_of(std::uint32_t st_mode) {
    switch (st_mode & S_IFMT) {
    case S_IFREG:
        return FileType::Regular;
    case S_IFDIR:
        return FileType::Directory;
    case S_IFLNK:
        return FileType::Symlink;
    case S_IFCHR:
        return FileType::CharDevice;
    case S_IFBLK:
        return FileType::BlockDevice;
    case S_IFIFO:
        return FileType::Fifo;
    case S_IFSOCK:
        return FileType::Socket;
    default:
        return std::nullopt;
    }
}

std::uint32_t mode_bits_of(FileType type) {
    switch (type) {
    case FileType::Regular:
        return S_IFREG;
    case FileType::Directory:
        return S_IFDIR;
    case FileType::Symlink:
        return S_IFLNK;
    case FileType::CharDevice:
        return S_IFCHR;
    case FileType::BlockDevice:
        return S_IFBLK;
    case FileType::Fifo:
        return S_IFIFO;
    case FileType::Socket:
        return S_IFSOCK;
    }
    return 0;
}

}  // namespace shale
