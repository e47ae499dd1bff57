#include "file_finisher.hpp"

#include "metadata.hpp"

namespace shale::layer {

namespace {

// What may wait: enough that neither thread waits for a single large file of the other, little
// enough to be no matter of memory or of descriptors.
constexpr std::size_t kMostJobs = 256;
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
        return failure_ || jobs_.empty() || (jobs_.size() < kMostJobs && bytes_ < kMostBytes);
    });
    rethrow();
    bytes_ += content.size();
    jobs_.push_back({std::move(file), std::move(member), std::move(content)});
    if (jobs_.size() == 1) changed_.notify_all();
}

void FileFinisher::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || (jobs_.empty() && idle_); });
    rethrow();
}

void FileFinisher::rethrow() {
    if (failure_) std::rethrow_exception(failure_);
}

void FileFinisher::run() {
    std::deque<Job> taken;
    std::unique_lock lock(mutex_);
    for (;;) {
        idle_ = true;
        changed_.notify_all();
        changed_.wait(lock, [&] { return stopped_ || !jobs_.empty(); });
        if (stopped_) return;
        idle_ = false;
        taken.swap(jobs_);  // all at once: one wake-up for many files
        bytes_ = 0;
        changed_.notify_all();
        lock.unlock();
        try {
            for (; !taken.empty(); taken.pop_front()) {
                const Job& job = taken.front();
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
    }
}

}  // namespace shale::layer
