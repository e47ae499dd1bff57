// O_TMPFILE keeps an interrupted command from leaving half a file behind, even when it is killed.
// File systems without it (overlayfs before 6.1, NFS) get a named temporary file, which stays only
// if the program is killed.
//
// What is replaced is chosen with care: renaming over /dev/null, a FIFO or /dev/stdout would
// destroy it, so only a regular file, or nothing, is ever renamed over.
#include <shale/base.hpp>
#include <shale/uncached_writer.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>
#include <thread>

namespace shale {

namespace {

constexpr int kMaxLinks = 40;  // the kernel's own limit
constexpr std::string_view kStdoutSubject = "standard output";

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

// Links in /proc name open files, not paths: what they lead to may have no name at all.
bool is_in_proc(const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(parent_of(path).c_str(), nullptr),
                                                      std::free);
    return real && std::string_view(real.get()).starts_with("/proc/");
}

// Follows symbolic links, so that a link stays and what it names is replaced.
std::string follow_links(std::string path) {
    for (int links = 0; links < kMaxLinks; ++links) {
        char target[PATH_MAX];
        const ssize_t length = is_in_proc(path) ? -1 : ::readlink(path.c_str(), target, PATH_MAX);
        if (length < 0) return path;
        const std::string_view text(target, static_cast<std::size_t>(length));
        path = text.starts_with('/') ? std::string(text) : join_path(parent_of(path), text);
    }
    throw_errno(ELOOP, "open", path);
}

// Append: what /dev/stdout leads to may be a file that others write to as well.
constexpr int kDirectFlags = O_WRONLY | O_APPEND;

// Opening a named pipe waits until somebody reads it, and a build, which holds back Ctrl-C, would
// wait for ever. A pipe that a shell made for >(command) has its reader already; one with a name
// may get it a moment later, when the command beside this one has started.
UniqueFd open_pipe(const std::string& path) {
    constexpr int kAttempts = 100;
    constexpr std::chrono::milliseconds kPause(50);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        UniqueFd fd(::open(path.c_str(), kDirectFlags | O_NONBLOCK | O_CLOEXEC));
        if (fd && ::fcntl(fd.get(), F_SETFL, kDirectFlags) != 0) throw_errno("fcntl", path);
        if (fd) return fd;
        if (errno != ENXIO && errno != EINTR) throw_errno("open", path);
        std::this_thread::sleep_for(kPause);
    }
    fail(ErrorKind::System, "nobody reads the pipe " + path);
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

OutputFile::OutputFile(const std::string& path) : subject_(path) {
    is_stdout_ = path == "-";
    if (is_stdout_) {
        subject_ = kStdoutSubject;
        fd_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
        if (!fd_) throw_errno("open", subject_);
        return;
    }
    const auto target = follow_links(path);
    struct stat status {};
    const bool exists = ::stat(target.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) throw_errno(EISDIR, "open", path);
    if (is_in_proc(target) || (exists && !S_ISREG(status.st_mode))) {
        const bool is_pipe = exists && S_ISFIFO(status.st_mode);
        fd_ = is_pipe ? open_pipe(target) : open_file(target, kDirectFlags);
        return;
    }
    target_ = target;
    create_temporary();
    writer_ = std::make_unique<UncachedWriter>(fd_.get(), subject_);
}

OutputFile::~OutputFile() {
    writer_.reset();  // it writes to the file until then
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::create_temporary() {
    const auto directory = parent_of(target_);
    fd_.reset(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
    if (fd_) return;
    if (errno != EOPNOTSUPP && errno != EISDIR) throw_errno("create a file in", directory);
    const auto name = sibling_name(target_);
    fd_.reset(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!fd_) throw_errno("create", name);
    temporary_ = name;
}

void OutputFile::write(Bytes bytes) {
    if (writer_)
        writer_->write(bytes);
    else
        write_all(fd_.get(), bytes, subject_);
}

void OutputFile::commit(Durability durability) {
    if (!target_.empty()) publish(durability);
    fd_.close_checked(subject_);
}

void OutputFile::publish(Durability durability) {
    writer_->finish();
    const bool synced = durability == Durability::Synced;
    if (synced && ::fsync(fd_.get()) != 0) throw_errno("fsync", subject_);
    if (temporary_.empty()) {
        const auto name = sibling_name(target_);
        const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
        if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
            throw_errno("create", name);
        temporary_ = name;
    }
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw_errno("rename to", subject_);
    temporary_.clear();
    if (!synced) return;
    const UniqueFd directory = open_file(parent_of(target_), O_RDONLY | O_DIRECTORY);
    if (::fsync(directory.get()) != 0) throw_errno("fsync", parent_of(target_));
}

void write_output_file(const std::string& path, Bytes bytes) {
    OutputFile output(path);
    output.write(bytes);
    output.commit();
}

}  // namespace shale
