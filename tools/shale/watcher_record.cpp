#include "watcher_record.hpp"

#include "runtime_directory.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kWhat = "watchers";
constexpr std::uint64_t kMostBytes = 64 << 10;

// Whether its writer lives. A note that is being written is not locked yet; it counts a moment
// later.
bool is_locked(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) return false;
    return ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// Of one that was killed. The age protects a note between its creation and its lock.
void remove_if_old(const std::string& path) {
    constexpr std::int64_t kOldSeconds = 60;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return;
    if (system_clock().now_ns() / kNsPerSecond - status.st_mtim.tv_sec > kOldSeconds)
        ::unlink(path.c_str());
}

std::optional<WatcherRecord> read_note(const std::string& path) {
    if (!is_locked(path)) {
        remove_if_old(path);
        return std::nullopt;
    }
    try {
        const auto value = Json::parse(read_file(path, kMostBytes), nullptr, false);
        if (!value.is_object()) return std::nullopt;
        WatcherRecord record;
        record.directory = value.value("directory", "");
        record.backend = value.value("backend", "");
        record.pid = value.value("pid", std::int64_t{0});
        record.since_ns = value.value("since", std::int64_t{0});
        record.note = path;
        if (record.pid > 0) return record;
    } catch (const Error&) {            // gone meanwhile
    } catch (const Json::exception&) {  // not one of ours
    }
    return std::nullopt;
}

}  // namespace

std::string real_directory(const std::string& path) {
    char resolved[PATH_MAX];
    if (::realpath(path.c_str(), resolved)) return resolved;
    if (errno != ENOENT) throw_errno("watch", path);
    std::error_code error;  // it was there, perhaps
    const auto was = std::filesystem::weakly_canonical(path, error);
    return error ? path : std::filesystem::absolute(was).lexically_normal().string();
}

WatcherNote::WatcherNote(const std::string& root, const std::string& directory,
                         const std::string& backend) {
    const Json value = {{"directory", real_directory(directory)},
                        {"backend", backend},
                        {"pid", ::getpid()},
                        {"since", system_clock().now_ns()}};
    try {
        path_ = leave_note(runtime_directories(kWhat, root), std::to_string(::getpid()) + ".json",
                           value.dump(-1, ' ', false, Json::error_handler_t::replace));
        lock_ = open_file(path_, O_RDONLY);
        while (::flock(lock_.get(), LOCK_EX) != 0)  // somebody may be looking at it just now
            if (errno != EINTR) throw_errno("flock", path_);
    } catch (const Error& error) {  // it watches all the same
        log(LogLevel::Warn,
            std::string("`shale watch --list` will not show this watcher: ") + error.what());
    }
}

WatcherNote::~WatcherNote() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

std::vector<WatcherRecord> running_watchers(const std::string& root) {
    std::vector<WatcherRecord> all;
    for (const auto& place : runtime_directories(kWhat, root)) {
        std::error_code none;
        for (std::filesystem::directory_iterator at(place, none), end; !none && at != end;
             at.increment(none))
            if (at->path().extension() == ".json")
                if (auto record = read_note(at->path().string())) all.push_back(std::move(*record));
    }
    std::ranges::sort(all, {}, &WatcherRecord::directory);
    return all;
}

void stop_watcher(const WatcherRecord& watcher) {
    constexpr int kAttempts = 250;
    constexpr std::chrono::milliseconds kPause(20);
    if (::kill(static_cast<pid_t>(watcher.pid), SIGTERM) != 0 && errno != ESRCH)
        throw_errno("stopping the watcher of", watcher.directory);
    for (int attempt = 0; is_locked(watcher.note); ++attempt) {
        if (attempt == kAttempts)
            fail(ErrorKind::Failed, "process " + std::to_string(watcher.pid) + ", which watches " +
                                        watcher.directory + ", does not end");
        std::this_thread::sleep_for(kPause);
    }
}

}  // namespace shale::cli
