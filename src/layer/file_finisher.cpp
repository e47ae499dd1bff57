#include "file_finisher.hpp"

#include "metadata.hpp"

namespace shale::layer {

namespace {

// What may wait or be under way: enough that neither thread waits for a single large file of the
// other, little enough to be no matter of memory, or of descriptors where 1024 are all there are.
constexpr std::size_t kMostJobs = 64;
constexpr std::size_t kMostBytes = 16 << 20;

}  // namespace

void finish_file(int file, const tar::Member& member) {
    set_metadata(file, member);
    set_mtime(file, member.mtime_ns, member.path);
}

FileFinisher::FileFinisher() : thread_([this] { run(); }) {}

FileFinisher::~FileFinisher() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
}

void FileFinisher::finish(UniqueFd file, tar::Member member, std::vector<std::byte> content) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
        return failure_ || files_ == 0 || (files_ < kMostJobs && bytes_ < kMostBytes);
    });
    rethrow();
    ++files_;
    bytes_ += content.size();
    jobs_.push_back({std::move(file), std::move(member), std::move(content)});
    if (jobs_.size() == 1) changed_.notify_all();
}

void FileFinisher::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || files_ == 0; });
    rethrow();
}

void FileFinisher::rethrow() {
    if (failure_) std::rethrow_exception(failure_);
}

void FileFinisher::run() {
    std::deque<Job> taken;
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stopped_ || !jobs_.empty(); });
        if (stopped_) return;
        taken.swap(jobs_);  // all at once: one wake-up for many files
        const std::size_t files = taken.size();
        std::size_t bytes = 0;
        lock.unlock();
        try {
            for (; !taken.empty(); taken.pop_front()) {
                const Job& job = taken.front();
                bytes += job.content.size();
                write_all(job.file.get(), job.content, job.member.path);
                finish_file(job.file.get(), job.member);
            }
        } catch (...) {  // reported to whoever hands over or waits
            lock.lock();
            failure_ = std::current_exception();
            changed_.notify_all();
            return;
        }
        lock.lock();
        files_ -= files;
        bytes_ -= bytes;
        changed_.notify_all();
    }
}

}  // namespace shale::layer
