// Workers of the ContentHasher.
//
// A file is trusted to be what was stat'ed only if a second stat after the last byte says the same;
// otherwise it is read again, up to kMaxReads times. The digest enters the stat cache only if the
// file's ctime lay in an earlier clock tick than the start of the read (stat_cache.cpp).
#include "content_hasher.hpp"

#include <shale/codec.hpp>
#include <shale/codec_state.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace shale::snapshot {

namespace {

// Jobs that wait each may hold a directory open; a process has 1024 descriptors by default.
constexpr std::size_t kMaxWaiting = 256;
// What a worker takes at once, and what must wait for it to be woken or for another to be started:
// waking somebody for every file costs more than reading it.
constexpr std::size_t kBatch = 32;
constexpr std::size_t kSparseBuffer = 64 << 10;  // stays in the second-level cache
// Bytes of a sparse file after which a worker asks whether it is still wanted.
constexpr std::uint64_t kLookUpEvery = 64 << 20;
constexpr int kMaxReads = 4;  // once, and three times again

FileStamp stamp_of(const struct stat& status) {
    return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
            to_ns(status.st_mtim), to_ns(status.st_ctim)};
}

HashOutcome::Kind kind_of_error(int error) {
    switch (error) {
    case ENOENT:
        return HashOutcome::Kind::Vanished;
    case EFBIG:  // the engine gave up on a file that grows
    case ELOOP:
        return HashOutcome::Kind::Unstable;  // became a symbolic link
    default:
        return HashOutcome::Kind::Refused;
    }
}

}  // namespace

class HashWorker {
  public:
    explicit HashWorker(ContentHasher& shared) : shared_(shared) {}

    void run() {
        while (next_jobs()) {
            for (const std::size_t slot : to_read_)
                submit(slot);
            to_read_.clear();
            // Without this the last files of a batch would wait for the next batch.
            if (engine_ && (is_idle_ || !sparse_.empty())) engine_->drain();
            for (const std::size_t slot : std::exchange(sparse_, {}))
                read_sparse(slot);
        }
        const std::lock_guard lock(shared_.mutex_);
        shared_.files_ += files_;
        shared_.bytes_ += bytes_;
        hand_over();
    }

  private:
    // A file between its submission and its outcome. Slots are reused.
    struct Reading {
        HashJob job;
        codec::Sha256Stream hash;
        std::uint64_t bytes = 0;
        std::int64_t began_ns = 0;
        int reads = 0;
        std::unique_ptr<HashOutcome::NewState> changed;
    };

    void open_engine() {
        io::EngineOptions options = shared_.options_;
        options.threads = std::max(1u, options.threads / shared_.max_workers_);
        engine_ =
            io::create_engine(options, [this](std::span<const io::Piece> pieces) { take(pieces); });
        const std::lock_guard lock(shared_.mutex_);
        shared_.engine_ = engine_->engine_name();
    }

    // With the lock held.
    void hand_over() {
        std::move(outcomes_.begin(), outcomes_.end(), std::back_inserter(shared_.outcomes_));
        outcomes_.clear();
    }

    // Fills to_read_ with what to submit now. False when all is done.
    bool next_jobs() {
        to_read_.swap(again_);
        std::unique_lock lock(shared_.mutex_);
        hand_over();
        if (to_read_.empty() && open_ == 0)
            shared_.to_worker_.wait(
                lock, [&] { return shared_.closed_ || shared_.queue_.size() >= kBatch; });
        if (shared_.failed_) shared_.queue_.clear();
        while (to_read_.size() < kBatch && !shared_.queue_.empty()) {
            to_read_.push_back(open_slot(std::move(shared_.queue_.front())));
            shared_.queue_.pop_front();
        }
        if (shared_.queue_.size() <= kMaxWaiting / 2) shared_.to_caller_.notify_one();
        is_idle_ = shared_.queue_.size() < kBatch;
        return !to_read_.empty() || open_ > 0 || !shared_.closed_;
    }

    std::size_t open_slot(HashJob job) {
        if (free_.empty()) {
            free_.push_back(slots_.size());
            slots_.push_back(std::make_unique<Reading>());
        }
        const std::size_t slot = free_.back();
        free_.pop_back();
        slots_[slot]->job = std::move(job);
        slots_[slot]->reads = 0;
        slots_[slot]->changed.reset();
        ++open_;
        return slot;
    }

    void submit(std::size_t slot) {
        Reading& file = *slots_[slot];
        file.hash = {};
        file.bytes = 0;
        ++file.reads;
        file.began_ns = filesystem_tick_ns();
        if (file.job.is_sparse) return sparse_.push_back(slot);
        if (!engine_) open_engine();
        engine_->submit(
            {file.job.directory->get(), file.job.name.c_str(), file.job.stamp.size, slot});
    }

    // When nothing else is under way: this holds the worker, and much may have to be hashed.
    void read_sparse(std::size_t slot) {
        Reading& file = *slots_[slot];
        const UniqueFd fd(::openat(file.job.directory->get(), file.job.name.c_str(),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!fd) return close(slot, kind_of_error(errno), {}, errno);
        io::HoleReader reader(fd.get());
        buffer_.resize(kSparseBuffer);
        codec::Sha256 hash;
        try {
            while (const std::size_t got = reader.read(buffer_)) {
                hash.update(Bytes(buffer_).first(got));
                file.bytes += got;
                if (file.bytes > file.job.stamp.size + io::kMaxGrowth)
                    return close(slot, kind_of_error(EFBIG), {}, EFBIG);
                if (file.bytes % kLookUpEvery < got && has_failed())
                    return close(slot, HashOutcome::Kind::Vanished, {}, 0);  // nobody will ask
            }
        } catch (const Error& error) {
            return close(slot, kind_of_error(error.sys_errno()), {}, error.sys_errno());
        }
        bytes_ += file.bytes;
        verify(slot, hash.finish());
    }

    bool has_failed() {
        const std::lock_guard lock(shared_.mutex_);
        return shared_.failed_;
    }

    // Hashes what came side by side; most files come in one piece.
    void take(std::span<const io::Piece> pieces) {
        updates_.clear();
        whole_.clear();
        for (const auto& piece : pieces) {
            bytes_ += piece.bytes.size();
            slots_[piece.tag]->bytes += piece.bytes.size();
            if (piece.error != 0) continue;
            if (is_whole(piece))
                whole_.push_back(piece.bytes);
            else
                updates_.push_back({&slots_[piece.tag]->hash, piece.bytes});
        }
        digests_.resize(whole_.size());
        codec::sha256_together(updates_, whole_, digests_);
        auto digest = digests_.begin();
        for (const auto& piece : pieces)
            if (piece.error != 0)
                close(piece.tag, kind_of_error(piece.error), {}, piece.error);
            else if (piece.last)
                verify(piece.tag, is_whole(piece) ? *digest++ : slots_[piece.tag]->hash.finish());
    }

    static bool is_whole(const io::Piece& piece) { return piece.last && piece.offset == 0; }

    void verify(std::size_t slot, const Digest& content) {
        Reading& file = *slots_[slot];
        struct stat status {};
        const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
        if (::fstatat(file.job.directory->get(), file.job.name.c_str(), &status, flags) != 0)
            return close(slot, kind_of_error(errno), {}, errno);
        const FileStamp now = stamp_of(status);
        if (now == file.job.stamp && file.bytes == now.size) {
            ++files_;
            if (shared_.cache_ && file.job.may_cache && is_settled(now.ctime_ns, file.began_ns))
                shared_.cache_->impl().insert(now, content, file.job.order);
            return close(slot, HashOutcome::Kind::Hashed, content, 0);
        }
        if (file.reads == kMaxReads || !S_ISREG(status.st_mode))
            return close(slot, HashOutcome::Kind::Unstable, {}, 0);
        file.job.stamp = now;
        file.changed = std::make_unique<HashOutcome::NewState>(
            HashOutcome::NewState{now, status.st_mode & 07777u, status.st_uid, status.st_gid});
        again_.push_back(slot);
    }

    void close(std::size_t slot, HashOutcome::Kind kind, const Digest& content, int error) {
        Reading& file = *slots_[slot];
        HashOutcome outcome;
        outcome.kind = kind;
        outcome.node = file.job.node;
        outcome.content = content;
        outcome.error = error;
        outcome.changed = std::move(file.changed);
        outcomes_.push_back(std::move(outcome));
        file.job = {};  // lets go of the directory
        free_.push_back(slot);
        --open_;
        if (kind == HashOutcome::Kind::Unstable || kind == HashOutcome::Kind::Refused) {
            const std::lock_guard lock(shared_.mutex_);
            shared_.failed_ = true;
        }
    }

    ContentHasher& shared_;
    std::vector<std::unique_ptr<Reading>> slots_;
    std::vector<std::size_t> free_, to_read_, again_;
    std::size_t open_ = 0;
    bool is_idle_ = false;             // there is no full batch to go on with
    std::vector<std::size_t> sparse_;  // slots of sparse files, to be read when the others are
    std::vector<std::byte> buffer_;    // for them
    // What take() works on:
    std::vector<codec::Sha256Update> updates_;
    std::vector<Bytes> whole_;
    std::vector<Digest> digests_;
    std::vector<HashOutcome> outcomes_;
    std::uint64_t files_ = 0, bytes_ = 0;
    // Last: it waits for reads in flight, which use the slots, before they go.
    std::unique_ptr<io::FileEngine> engine_;
};

ContentHasher::ContentHasher(const io::EngineOptions& options, StatCache* cache)
    : options_(options), cache_(cache),
      max_workers_(
          std::clamp(options.threads, 1u, std::max(1u, std::thread::hardware_concurrency()))) {}

ContentHasher::~ContentHasher() {
    {
        const std::lock_guard lock(mutex_);
        failed_ = true;  // nobody will ask for the outcomes
    }
    stop_and_join();
}

void ContentHasher::start_worker() {
    workers_.emplace_back([this] {
        try {
            HashWorker(*this).run();
        } catch (...) {  // carried to finish()
            const std::lock_guard guard(mutex_);
            if (!failure_) failure_ = std::current_exception();
            failed_ = closed_ = true;
            to_worker_.notify_all();
            to_caller_.notify_all();
        }
    });
}

void ContentHasher::add(HashJob job) {
    bool needs_worker = workers_.empty();
    {
        std::unique_lock lock(mutex_);
        to_caller_.wait(lock, [&] { return failed_ || queue_.size() < kMaxWaiting; });
        if (failed_) return;  // finish() tells why
        queue_.push_back(std::move(job));
        needs_worker |= queue_.size() >= 2 * kBatch;
        if (queue_.size() % kBatch == 0) to_worker_.notify_one();
    }
    if (needs_worker && workers_.size() < max_workers_) start_worker();
}

void ContentHasher::stop_and_join() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        to_worker_.notify_all();
    }
    workers_.clear();
}

std::vector<HashOutcome> ContentHasher::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(outcomes_, {});
}

std::vector<HashOutcome> ContentHasher::finish() {
    stop_and_join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(outcomes_);
}

}  // namespace shale::snapshot
