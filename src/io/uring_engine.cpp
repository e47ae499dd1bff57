// The io_uring engine: one ring, one thread, no system call per file.
//
// Every request owns a slot: an index into the ring's table of direct descriptors and a buffer. It
// goes through
//
//     free --submit--> opening --CQE--> reading --CQE--> (reading ...) --last piece--> free
//
// as independent, unlinked operations; linked chains measured slower. The close of a direct
// descriptor runs inline when it is issued, and operations are issued in queue order, so the slot
// is free for the next open as soon as its close is queued; the close posts no completion.
//
// Set-up follows what measured best: a single issuer, task work deferred to the moment this thread
// asks for completions, registered buffers, no kernel polling thread. Registered buffers are
// counted against the locked-memory limit of ordinary users; where they are refused, plain reads
// into the same memory do.
#include "engines.hpp"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <cerrno>
#include <new>
#include <vector>

namespace shale::io {

namespace {

// Files after which the buffers are registered.
constexpr std::uint64_t kRegisterAfter = 256;

// Marks completions that only report the failure of a close.
constexpr std::uint64_t kCloseTag = ~std::uint64_t{0};

// Buffers come straight from mmap: the kernel may still write into them while an aborted engine is
// torn down, and this memory is nobody else's.
class Arena {
  public:
    explicit Arena(std::size_t bytes) : bytes_(bytes) {
        data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) throw std::bad_alloc();
    }
    ~Arena() { ::munmap(data_, bytes_); }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(data_) + offset; }

  private:
    void* data_;
    std::size_t bytes_;
};

class UringEngine final : public FileEngine {
  public:
    UringEngine(const EngineOptions& options, OnPieces on_pieces)
        : on_pieces_(std::move(on_pieces)), buffer_bytes_(options.buffer_bytes),
          arena_(std::size_t{options.depth} * options.buffer_bytes), slots_(options.depth) {
        for (unsigned slot = options.depth; slot-- > 0;)
            free_.push_back(slot);
    }

    // False if the kernel refuses. Separate from the constructor so that refusal is no exception.
    bool start() {
        io_uring_params params{};
        params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        // Two queue entries per slot: the close of one file and the open of the next.
        const auto entries = static_cast<unsigned>(slots_.size()) * 2;
        if (io_uring_queue_init_params(entries, &ring_, &params) != 0) return false;
        started_ = true;
        if (!(params.features & IORING_FEAT_CQE_SKIP)) return false;
        return io_uring_register_files_sparse(&ring_, static_cast<unsigned>(slots_.size())) == 0;
    }

    // Operations in flight hold our buffers and the caller's names; they must end before either
    // goes.
    ~UringEngine() override {
        if (!started_) return;
        while (in_flight_ > 0) {
            const int result = io_uring_submit_and_wait(&ring_, 1);
            if (result < 0 && result != -EINTR) break;
            for (io_uring_cqe* cqe = nullptr; io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe;) {
                in_flight_ -= cqe->user_data != kCloseTag;
                io_uring_cqe_seen(&ring_, cqe);
            }
        }
        io_uring_queue_exit(&ring_);
    }

    void submit(const FileRequest& request) override {
        while (free_.empty())
            reap();
        const unsigned slot = free_.back();
        free_.pop_back();
        slots_[slot] = {request.tag, {request.size_hint, 0}, State::Opening};
        io_uring_sqe* sqe = next_sqe();
        io_uring_prep_openat_direct(sqe, request.dir_fd, request.name, kOpenFlags, 0, slot);
        sqe->user_data = slot;
        ++in_flight_;
        if (++stats_.opens == kRegisterAfter) register_buffers();
    }

    void drain() override {
        while (free_.size() < slots_.size())
            reap();
        flush();  // the last closes
    }

    std::string_view engine_name() const override { return "io_uring"; }
    const EngineStats& stats() const override { return stats_; }

  private:
    enum class State { Opening, Reading };
    struct Slot {
        std::uint64_t tag = 0;
        Progress progress;
        State state = State::Opening;
    };

    // Reads in flight keep using the memory by address; only later ones go through the table.
    void register_buffers() {
        std::vector<iovec> buffers;
        for (std::size_t slot = 0; slot < slots_.size(); ++slot)
            buffers.push_back({buffer(slot), buffer_bytes_});
        buffers_registered_ = io_uring_register_buffers(&ring_, buffers.data(),
                                                        static_cast<unsigned>(buffers.size())) == 0;
    }

    std::byte* buffer(std::size_t slot) const { return arena_.at(slot * buffer_bytes_); }

    io_uring_sqe* next_sqe() {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        if (!sqe) {
            flush();
            sqe = io_uring_get_sqe(&ring_);
        }
        SHALE_ENSURE(sqe);
        return sqe;
    }

    void flush() {
        ++stats_.submit_calls;
        int result = 0;
        do
            result = io_uring_submit(&ring_);
        while (result == -EINTR || result == -EAGAIN);
        if (result < 0) throw_errno(-result, "io_uring_submit", {});
    }

    // Submits what is queued, waits for at least one completion and handles all there are.
    void reap() {
        ++stats_.submit_calls;
        const int result = io_uring_submit_and_wait(&ring_, 1);
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
            throw_errno(-result, "io_uring_submit_and_wait", {});
        io_uring_cqe* cqe = nullptr;
        while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe) {
            const std::uint64_t tag = cqe->user_data;
            const int outcome = cqe->res;
            io_uring_cqe_seen(&ring_, cqe);  // before the callback, which may throw
            if (tag == kCloseTag) continue;  // only our own confusion could fail a close
            --in_flight_;
            handle(static_cast<unsigned>(tag), outcome);
        }
        deliver();
    }

    // A slot's buffer is filled again only by an operation queued later.
    void deliver() {
        if (pieces_.empty()) return;
        on_pieces_(pieces_);
        pieces_.clear();
        for (const unsigned slot : unfinished_)
            queue_read(slot);
        unfinished_.clear();
    }

    void handle(unsigned slot, int outcome) {
        Slot& at = slots_[slot];
        if (outcome == -EINTR || outcome == -ECANCELED) outcome = -EIO;
        if (at.state == State::Opening) {
            if (outcome < 0) return finish(slot, -outcome, false);
            at.state = State::Reading;
            return queue_read(slot);
        }
        if (outcome < 0) return finish(slot, -outcome, true);
        const std::uint64_t offset = at.progress.offset;
        const auto count = static_cast<std::uint64_t>(outcome);
        const bool last = at.progress.advance(count, buffer_bytes_) == Progress::Next::Finish;
        if (at.progress.grew_beyond_reason()) return finish(slot, EFBIG, true);
        stats_.bytes += count;
        pieces_.push_back({at.tag, offset, Bytes(buffer(slot), count), last, 0});
        if (last)
            release(slot);
        else
            unfinished_.push_back(slot);
    }

    void finish(unsigned slot, int error, bool is_open) {
        pieces_.push_back({slots_[slot].tag, slots_[slot].progress.offset, {}, true, error});
        if (is_open)
            release(slot);
        else
            free_.push_back(slot);
    }

    void queue_read(unsigned slot) {
        io_uring_sqe* sqe = next_sqe();
        const auto fd = static_cast<int>(slot);
        const auto bytes = static_cast<unsigned>(buffer_bytes_);
        const std::uint64_t offset = slots_[slot].progress.offset;
        if (buffers_registered_)
            io_uring_prep_read_fixed(sqe, fd, buffer(slot), bytes, offset, fd);
        else
            io_uring_prep_read(sqe, fd, buffer(slot), bytes, offset);
        sqe->flags |= IOSQE_FIXED_FILE;
        sqe->user_data = slot;
        ++in_flight_;
        ++stats_.reads;
    }

    void release(unsigned slot) {
        io_uring_sqe* sqe = next_sqe();
        io_uring_prep_close_direct(sqe, slot);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = kCloseTag;
        free_.push_back(slot);
    }

    OnPieces on_pieces_;
    const std::size_t buffer_bytes_;
    Arena arena_;
    std::vector<Slot> slots_;
    std::vector<unsigned> free_;
    std::vector<Piece> pieces_;         // that came and were not delivered
    std::vector<unsigned> unfinished_;  // slots of those that are not their file's last
    io_uring ring_{};
    bool started_ = false;
    bool buffers_registered_ = false;
    std::size_t in_flight_ = 0;  // operations that will post a completion
    EngineStats stats_;
};

}  // namespace

std::unique_ptr<FileEngine> create_uring_engine(const EngineOptions& options, OnPieces on_pieces) {
    auto engine = std::make_unique<UringEngine>(options, std::move(on_pieces));
    if (!engine->start()) return nullptr;
    return engine;
}

}  // namespace shale::io
