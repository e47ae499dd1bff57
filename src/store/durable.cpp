// Sessions, temporary files and locks. The order "data, then name, then directory" lives here and
// nowhere else; everything the store keeps, except the database, passes through TempFile::publish.
#include "durable.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <sstream>
#include <thread>

namespace shale::store {

namespace {

// Starting write-back every few megabytes lets the disk work while we still produce, so that the
// fsync at the end finds little left to do.
constexpr std::uint64_t kFlushBytes = 8u << 20;

constexpr std::string_view kPins = "pins";
constexpr std::string_view kKeep = "keep";
constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
constexpr std::uint64_t kMaxPinBytes = 16u << 20;
constexpr std::chrono::milliseconds kLockPoll{20};
// How long one waits before one says so.
constexpr std::chrono::seconds kSilence{2};

std::atomic<DurableHook> durable_hook{nullptr};

// False only if `wait` is not set and somebody else holds the lock.
bool lock_fd(int fd, int operation, bool wait, const std::string& path) {
    while (::flock(fd, wait ? operation : operation | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK && !wait) return false;
        if (errno != EINTR) throw_errno("flock", path);
    }
    return true;
}

// Whoever wanted it kept meant a mount, and none outlives the system.
bool is_kept(const std::string& session) {
    const std::string path = join_path(session, kKeep);
    if (!path_exists(path)) return false;
    try {
        return read_file(path, kMaxPinBytes) == boot_id();
    } catch (const Error&) {  // nobody can tell, and what is lost is lost
        return true;
    }
}

// Removes one entry of tmp/ if its owner is dead. Failures are left for the next opening: a
// leftover costs space, never correctness.
void remove_if_dead(int tmp_fd, const std::string& tmp_directory, const char* name,
                    std::int64_t now_ns, std::int64_t least_age_ns) {
    const UniqueFd fd(::openat(tmp_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) return;
    const std::int64_t changed_ns = to_ns(status.st_mtim);
    if (now_ns - changed_ns < least_age_ns) return;
    const std::string path = join_path(tmp_directory, name);
    // Held until the removal is over, so that two openers do not remove the same tree at once.
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || is_kept(path) || remove_tree(path)) return;
    // As old as it was: whoever comes next may be able to remove what is another user's.
    const timespec times[2] = {{0, UTIME_OMIT}, status.st_mtim};
    ::futimens(fd.get(), times);
}

UniqueFd create_new(const std::string& path) {
    announce(DurableStep::Create, path);
    return open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
}

}  // namespace

void set_durable_hook(DurableHook hook) {
    durable_hook = hook;
}

void announce(DurableStep step, const std::string& path) {
    if (const DurableHook hook = durable_hook.load(std::memory_order_relaxed)) hook(step, path);
}

std::string boot_id() {
    return read_file(kBootId);
}

// Who can open a file can lock it, and a lock of a stranger would stop every build: these are the
// user's alone, also where an earlier version made them.
FileLock::FileLock(const std::string& path, Mode mode)
    : path_(path), fd_(open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) {
    struct stat status {};
    if (::fstat(fd_.get(), &status) == 0 && (status.st_mode & 077) != 0)
        ::fchmod(fd_.get(), 0600);  // or it is not ours
    if (change(mode, kSilence)) return;
    std::string owners;
    try {
        for (const int pid : holders())
            owners += (owners.empty() ? "" : ", ") + std::to_string(pid);
    } catch (const Error&) {  // then we wait for we do not know whom
    }
    log(LogLevel::Warn, "waiting for '" + path + "'" +
                            (owners.empty() ? "" : ", which process " + owners + " holds"));
    lock_fd(fd_.get(), mode == Mode::Shared ? LOCK_SH : LOCK_EX, true, path);
}

bool FileLock::change(Mode mode, std::chrono::milliseconds patience) {
    const int operation = mode == Mode::Shared ? LOCK_SH : LOCK_EX;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    // flock() has no timeout, and a signal that would end its wait is not ours to take.
    while (!lock_fd(fd_.get(), operation, false, path_)) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        std::this_thread::sleep_for(kLockPoll);
    }
    return true;
}

void FileLock::release() {
    lock_fd(fd_.get(), LOCK_UN, true, path_);
}

// Lines of /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 08:02:131 0 EOF".
std::vector<int> FileLock::holders() const {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw_errno("fstat", path_);
    const std::string inode = ":" + std::to_string(status.st_ino);
    std::vector<int> pids;
    std::istringstream lines(read_file("/proc/locks", 1 << 20));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string number, type, kind, access, file;
        int pid = 0;
        if (!(words >> number >> type >> kind >> access >> pid >> file)) continue;
        if (type == "FLOCK" && file.ends_with(inode) && pid > 0 && pid != ::getpid())
            pids.push_back(pid);
    }
    return pids;
}

Session::Session(std::string tmp_directory) : tmp_directory_(std::move(tmp_directory)) {}

Session::~Session() {
    if (directory_.empty()) return;
    ::unlink(join_path(directory_, kPins).c_str());
    ::unlink(join_path(directory_, kKeep).c_str());
    ::rmdir(directory_.c_str());
}

const std::string& Session::directory() {
    std::call_once(made_, [&] {
        std::string path = join_path(tmp_directory_, "session-XXXXXX");
        if (!::mkdtemp(path.data())) throw_errno("mkdtemp", path);
        lock_ = open_file(path, O_RDONLY | O_DIRECTORY);
        lock_fd(lock_.get(), LOCK_EX, true, path);
        directory_ = std::move(path);
    });
    return directory_;
}

std::string Session::new_path(std::string_view prefix) {
    return join_path(directory(), std::string(prefix) + "-" + std::to_string(next_++));
}

void Session::pin(const std::vector<Digest>& blobs) {
    std::string list;
    for (const Digest& blob : blobs)
        list += blob.str() + "\n";
    write_file_atomic(join_path(directory(), kPins), as_bytes(list));
}

void Session::keep() {
    write_file_atomic(join_path(directory(), kKeep), as_bytes(boot_id()));
}

void discard_session(const std::string& directory) noexcept {
    const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(directory);
}

std::vector<Digest> pinned_blobs(const std::string& tmp_directory) {
    std::vector<Digest> blobs;
    for (const auto& item : std::filesystem::directory_iterator(tmp_directory)) {
        const std::string session = item.path().string();
        const std::string path = join_path(session, kPins);
        const UniqueFd fd(::open(session.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd || !path_exists(path)) continue;
        // Nobody holds the lock of a dead session; its pins mean nothing, unless they are kept.
        if (lock_fd(fd.get(), LOCK_SH, false, session) && !is_kept(session)) continue;
        std::istringstream lines(read_file(path, kMaxPinBytes));
        for (std::string line; std::getline(lines, line);)
            blobs.push_back(Digest::parse(line));
    }
    return blobs;
}

void remove_leftovers(const std::string& tmp_directory, std::int64_t now_ns,
                      std::int64_t least_age_ns) {
    DIR* dir = ::opendir(tmp_directory.c_str());
    if (!dir) throw_errno("opendir", tmp_directory);
    while (const dirent* item = ::readdir(dir)) {
        const std::string_view name = item->d_name;
        if (name != "." && name != "..")
            remove_if_dead(::dirfd(dir), tmp_directory, item->d_name, now_ns, least_age_ns);
    }
    ::closedir(dir);
}

TempFile::TempFile(Session& session, std::string_view prefix, Length length)
    : path_(session.new_path(prefix)), fd_(create_new(path_)),
      writer_(fd_.get(), path_,
              length == Length::Long ? UncachedWriter::kCachedBytes : UncachedWriter::kAllCached) {}

TempFile::~TempFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

void TempFile::write(Bytes bytes) {
    writer_.write(bytes);
    written_ += bytes.size();
    if (written_ - flushing_ < kFlushBytes) return;
    // Only a hint; a file system that cannot do it loses nothing but time.
    ::sync_file_range(fd_.get(), static_cast<off_t>(flushing_),
                      static_cast<off_t>(written_ - flushing_), SYNC_FILE_RANGE_WRITE);
    flushing_ = written_;
}

void TempFile::publish(const std::string& path) {
    writer_.finish();
    announce(DurableStep::SyncFile, path_);
    if (::fsync(fd_.get()) != 0) throw_errno("fsync", path_);
    publish_unsynced(path);
    sync_directory_of(path);
}

void TempFile::publish_unsynced(const std::string& path) {
    writer_.finish();
    if (::fchmod(fd_.get(), 0644) != 0) throw_errno("fchmod", path_);
    fd_.close_checked(path_);
    announce(DurableStep::Rename, path);
    if (::rename(path_.c_str(), path.c_str()) != 0) throw_errno("rename", path);
    path_.clear();
}

void publish_file(Session& session, std::string_view prefix, const std::string& path, Bytes bytes) {
    TempFile file(session, prefix);
    file.write(bytes);
    file.publish(path);
}

void sync_directory_of(const std::string& path) {
    const std::string directory = path.substr(0, path.rfind('/'));
    announce(DurableStep::SyncDirectory, directory);
    const UniqueFd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
    if (::fsync(fd.get()) != 0) throw_errno("fsync", directory);
}

}  // namespace shale::store
