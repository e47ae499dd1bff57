// The thread engine: a pool of threads making plain calls.
//
// Workers take requests, read into buffers from a fixed pool and put the filled buffers on a list;
// the owner delivers them from submit() and drain(). A worker that finds no free buffer waits for
// the owner, and the owner never waits without delivering, so neither can block the other for good.
//
//   requests (bounded) --> workers --> filled pieces --> owner --> free buffers --> workers
#include "engines.hpp"

#include <unistd.h>

#include <cerrno>
#include <exception>
#include <thread>
#include <vector>

namespace shale::io {

namespace {

// Enough that workers run ahead of a slow consumer; pages of buffers that small files never fill
// are never touched.
constexpr std::size_t kBuffersPerThread = 8;

class ThreadEngine final : public FileEngine {
  public:
    ThreadEngine(const EngineOptions& options, OnPieces on_pieces)
        : on_pieces_(std::move(on_pieces)), buffer_bytes_(options.buffer_bytes),
          max_requests_(std::size_t{options.threads} * kBuffersPerThread),
          memory_(max_requests_ * buffer_bytes_) {
        for (std::size_t at = 0; at < max_requests_; ++at)
            free_.push_back(memory_.data() + at * buffer_bytes_);
        for (unsigned at = 0; at < options.threads; ++at)
            workers_.emplace_back([this] { work(); });
    }

    ~ThreadEngine() override {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        requests_.clear();
        to_worker_.notify_all();
    }

    void submit(const FileRequest& request) override {
        std::unique_lock lock(mutex_);
        while (!filled_.empty() || requests_.size() >= max_requests_)
            deliver_some(lock);
        requests_.push_back(request);
        ++unfinished_;
        ++stats_.submit_calls;
        to_worker_.notify_all();  // some may wait for a buffer, not for this
    }

    void drain() override {
        std::unique_lock lock(mutex_);
        while (unfinished_ > 0)
            deliver_some(lock);
    }

    std::string_view engine_name() const override { return "threads"; }
    const EngineStats& stats() const override { return stats_; }

  private:
    struct Filled {
        Piece piece;
        std::byte* buffer;  // nullptr for an error
    };

    // Waits until a worker has something and delivers all there is.
    void deliver_some(std::unique_lock<std::mutex>& lock) {
        to_owner_.wait(lock, [&] { return !filled_.empty(); });
        std::deque<Filled> batch;
        batch.swap(filled_);
        // Given back even if the callback throws: a worker may be waiting for buffers.
        struct GiveBack {
            ThreadEngine& engine;
            std::unique_lock<std::mutex>& lock;
            std::deque<Filled>& batch;
            ~GiveBack() {
                if (!lock.owns_lock()) lock.lock();
                for (const Filled& filled : batch)
                    engine.retire(filled);
                engine.to_worker_.notify_all();
            }
        } give_back{*this, lock, batch};
        lock.unlock();
        for (const Filled& filled : batch)
            on_pieces_({&filled.piece, 1});
    }

    void retire(const Filled& filled) {
        if (filled.buffer) free_.push_back(filled.buffer);
        unfinished_ -= filled.piece.last;
        stats_.bytes += filled.piece.bytes.size();
    }

    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            to_worker_.wait(lock, [&] { return stopping_ || !requests_.empty(); });
            if (stopping_) return;
            const FileRequest request = requests_.front();
            requests_.pop_front();
            lock.unlock();
            const auto last = read_file(request);
            if (last) put(*last);
            lock.lock();
        }
    }

    // Delivers all pieces but the last, which it returns: by then the file is closed. nullopt if
    // the engine is being destroyed.
    std::optional<Filled> read_file(const FileRequest& request) {
        const UniqueFd fd(::openat(request.dir_fd, request.name, kOpenFlags | O_CLOEXEC));
        const int open_error = fd ? 0 : errno;
        count(&EngineStats::opens);
        if (open_error) return failure(request.tag, 0, open_error, nullptr);
        Progress progress{request.size_hint, 0};
        for (;;) {
            std::byte* buffer = take_buffer();
            if (!buffer) return std::nullopt;
            const std::uint64_t at = progress.offset;
            const ssize_t result = read_some(fd.get(), buffer, at);
            if (result < 0) return failure(request.tag, at, errno, buffer);
            const auto bytes = static_cast<std::uint64_t>(result);
            const bool last = progress.advance(bytes, buffer_bytes_) == Progress::Next::Finish;
            if (progress.grew_beyond_reason()) return failure(request.tag, at, EFBIG, buffer);
            const Filled filled{{request.tag, at, Bytes(buffer, bytes), last, 0}, buffer};
            if (last) return filled;
            put(filled);
        }
    }

    ssize_t read_some(int fd, std::byte* buffer, std::uint64_t offset) {
        count(&EngineStats::reads);
        for (;;) {
            const ssize_t result = ::pread(fd, buffer, buffer_bytes_, static_cast<off_t>(offset));
            if (result >= 0 || errno != EINTR) return result;
        }
    }

    std::byte* take_buffer() {
        std::unique_lock lock(mutex_);
        to_worker_.wait(lock, [&] { return stopping_ || !free_.empty(); });
        if (stopping_) return nullptr;
        std::byte* buffer = free_.back();
        free_.pop_back();
        return buffer;
    }

    static Filled failure(std::uint64_t tag, std::uint64_t offset, int error, std::byte* buffer) {
        return {{tag, offset, {}, true, error}, buffer};
    }

    void put(const Filled& filled) {
        const std::lock_guard lock(mutex_);
        filled_.push_back(filled);
        to_owner_.notify_one();
    }

    void count(std::uint64_t EngineStats::*counter) {
        const std::lock_guard lock(mutex_);
        ++(stats_.*counter);
    }

    OnPieces on_pieces_;
    const std::size_t buffer_bytes_;
    const std::size_t max_requests_;
    std::mutex mutex_;
    // Guarded by mutex_:
    std::condition_variable to_worker_, to_owner_;
    std::vector<std::byte> memory_;  // cut into buffers; its address never changes
    std::vector<std::byte*> free_;
    std::deque<FileRequest> requests_;
    std::deque<Filled> filled_;
    std::size_t unfinished_ = 0;
    bool stopping_ = false;
    EngineStats stats_;

    std::vector<std::jthread> workers_;  // last: joined before anything they use goes
};

}  // namespace

std::unique_ptr<FileEngine> create_thread_engine(const EngineOptions& options, OnPieces on_pieces) {
    return std::make_unique<ThreadEngine>(options, std::move(on_pieces));
}

}  // namespace shale::io
