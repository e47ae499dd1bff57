// One byte of one file for each key, locked through an open file description (F_OFD_SETLK): there
// are no lock files to clean up, and threads of one process exclude each other, too. Two keys meet
// on one byte in one of 2^62 cases; then one waits without need.
//
// Waiting is a loop of attempts: such a lock can be waited for, but not together with a stop
// request.
#include "step_lock.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace shale::build {
namespace {

bool try_lock(int fd, off_t byte, const std::string& path) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    while (::fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES) return false;
        if (errno != EINTR) throw_errno("lock", path);
    }
    return true;
}

off_t byte_of(const Digest& key) {
    std::uint64_t value = 0;
    std::memcpy(&value, key.bytes.data(), sizeof value);
    return static_cast<off_t>(value >> 2);
}

}  // namespace

StepLock::StepLock(store::Store& store, const Digest& definition_key,
                   const std::function<void()>& waiting, const std::stop_token& stop) {
    using namespace std::chrono_literals;
    const auto path = join_path(store.root(), "steps.lock");
    file_ = open_file(path, O_RDWR | O_CREAT, 0600);
    const auto byte = byte_of(definition_key);
    if (try_lock(file_.get(), byte, path)) return;
    waiting();
    for (auto pause = 5ms; !try_lock(file_.get(), byte, path); pause = std::min(pause * 2, 100ms)) {
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace shale::build
