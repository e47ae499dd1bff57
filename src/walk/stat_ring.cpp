// statx through io_uring, a whole directory per system call.
//
// The kernel has no inline path for it: every request is handed to a worker thread of the ring, so
// this costs more CPU than plain calls while the answers are in memory. It is the walk's twin, and
// what the walk is measured against.
#include "stat_ring.hpp"

#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace shale::walk {

namespace {

constexpr unsigned kDepth = 256;  // more was no faster

std::int64_t ns(const struct statx_timestamp& time) {
    return to_ns({time.tv_sec, time.tv_nsec});
}

Attributes attributes_of(const struct statx& status) {
    Attributes out;
    out.mode = status.stx_mode;
    out.uid = status.stx_uid;
    out.gid = status.stx_gid;
    out.nlink = status.stx_nlink;
    out.device_major = status.stx_rdev_major;
    out.device_minor = status.stx_rdev_minor;
    out.dev = ::makedev(status.stx_dev_major, status.stx_dev_minor);
    out.size = status.stx_size;
    out.ino = status.stx_ino;
    out.blocks = status.stx_blocks;
    out.mtime_ns = ns(status.stx_mtime);
    out.ctime_ns = ns(status.stx_ctime);
    return out;
}

class UringStat final : public StatRing {
  public:
    bool start() {
        io_uring_params params{};
        params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        started_ = io_uring_queue_init_params(kDepth, &ring_, &params) == 0;
        return started_;
    }

    // After an exception some requests may still be in flight; they write into buffers_.
    ~UringStat() override {
        if (!started_) return;
        while (in_flight_ > 0 && wait() >= 0)
            for (io_uring_cqe* cqe = nullptr; io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe;)
                retire(cqe);
        io_uring_queue_exit(&ring_);
    }

    void stat(int dir_fd, std::span<const char* const> names, std::span<Attributes> out) override {
        if (buffers_.empty()) buffers_.resize(kDepth);
        for (std::size_t first = 0; first < names.size(); first += kDepth)
            stat_some(dir_fd, names, first, out);
    }

  private:
    void stat_some(int dir_fd, std::span<const char* const> names, std::size_t first,
                   std::span<Attributes> out) {
        const std::size_t count = std::min<std::size_t>(kDepth, names.size() - first);
        for (std::size_t at = 0; at < count; ++at) {
            io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
            SHALE_ENSURE(sqe);
            io_uring_prep_statx(sqe, dir_fd, names[first + at],
                                AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
                                &buffers_[at]);
            sqe->user_data = at;
            ++in_flight_;
        }
        while (in_flight_ > 0) {
            if (const int error = wait(); error < 0) throw_errno(-error, "io_uring statx", {});
            for (io_uring_cqe* cqe = nullptr; io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe;) {
                const int outcome = cqe->res;
                const std::size_t at = retire(cqe);
                if (outcome < 0)
                    out[first + at] = {.error = -outcome};
                else
                    out[first + at] = attributes_of(buffers_[at]);
            }
        }
    }

    int wait() {
        const int result = io_uring_submit_and_wait(&ring_, 1);
        return result == -EINTR || result == -EAGAIN || result == -EBUSY ? 0 : result;
    }

    std::size_t retire(io_uring_cqe* cqe) {
        const std::size_t at = cqe->user_data;
        io_uring_cqe_seen(&ring_, cqe);
        --in_flight_;
        return at;
    }

    io_uring ring_{};
    bool started_ = false;
    std::size_t in_flight_ = 0;
    std::vector<struct statx> buffers_;
};

}  // namespace

std::unique_ptr<StatRing> create_stat_ring() {
    auto ring = std::make_unique<UringStat>();
    if (!ring->start()) return nullptr;
    return ring;
}

}  // namespace shale::walk
