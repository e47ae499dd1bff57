// O_TMPFILE keeps an interrupted command from leaving half a file behind, even when it is killed.
// File systems without it (overlayfs before 6.1, NFS) get a named temporary file that is unlinked
// as soon as it is open, and the bytes are copied at commit; that path is slower and as safe.
#include "output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace shale::cli {

namespace {

std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// A name in the directory of `path` that nobody else uses.
std::string sibling_name(const std::string& path) {
    static std::atomic<unsigned> counter{0};
    const auto slash = path.rfind('/') + 1;  // npos + 1 is 0
    return path.substr(0, slash) + "." + path.substr(slash) + "." + std::to_string(::getpid()) +
           "-" + std::to_string(counter++);
}

}  // namespace

UniqueFd anonymous_file(const std::string& directory) {
    UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
    if (fd) return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR) throw_errno("create a file in", directory);
    std::string name = join_path(directory, ".shale-XXXXXX");
    fd.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd) throw_errno("create a file in", directory);
    ::unlink(name.c_str());
    return fd;
}

OutputFile::OutputFile(const std::string& path) : path_(path) {
    struct stat status {};
    direct_ = is_stdout() || (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode));
    if (S_ISDIR(status.st_mode)) throw_errno(EISDIR, "open", path);
    if (is_stdout())
        fd_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    else
        fd_ = direct_ ? open_file(path, O_WRONLY) : anonymous_file(parent_of(path));
    if (!fd_) throw_errno("open", path);
}

void OutputFile::write(Bytes bytes) {
    write_all(fd_.get(), bytes, path_);
}

void OutputFile::commit() {
    if (!direct_) publish();
    fd_.close_checked(path_);
}

void OutputFile::publish() {
    if (::fsync(fd_.get()) != 0) throw_errno("fsync", path_);
    const std::string temporary = sibling_name(path_);
    const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        // Not an O_TMPFILE: an unlinked file cannot get a name again.
        const Mapping content(self);
        write_file_atomic(path_, content.bytes());
        return;
    }
    if (::rename(temporary.c_str(), path_.c_str()) != 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        throw_errno(error, "rename to", path_);
    }
    const UniqueFd directory = open_file(parent_of(path_), O_RDONLY | O_DIRECTORY);
    if (::fsync(directory.get()) != 0) throw_errno("fsync", parent_of(path_));
}

}  // namespace shale::cli
