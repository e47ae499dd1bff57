// One byte of one file for each key, locked through an open file description (F_OFD_SETLK): there
// are no lock files to clean up, and threads of one process exclude each other, too. Two keys meet
// on one byte in one of 2^62 cases; then one waits without need.
#include "step_lock.hpp"

#include "lock_wait.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

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
    const auto path = join_path(store.root(), "steps.lock");
    file_ = open_file(path, O_RDWR | O_CREAT, 0600);
    const auto byte = byte_of(definition_key);
    wait_for_lock([&] { return try_lock(file_.get(), byte, path); }, waiting, stop);
}

}  // namespace shale::build
