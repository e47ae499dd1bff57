// Admission of steps. A thread that waits has a note in the list; whoever frees something reads the
// list from its beginning and admits what fits now, so that an order exists that tests can rely on.
#include "jobs.hpp"

#include <shale/base.hpp>

#include <utility>

namespace shale::build {

Job::Job(Job&& other) noexcept
    : jobs_(std::exchange(other.jobs_, nullptr)), memory_(other.memory_) {}

Job::~Job() {
    if (jobs_) jobs_->give_back(memory_);
}

Job Jobs::take(std::uint64_t memory, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    Waiter self{memory};
    waiters_.push_back(&self);
    admit();
    changed_.wait(lock, stop, [&] { return self.admitted; });
    if (self.admitted) return {*this, memory};
    waiters_.remove(&self);
    fail(ErrorKind::Cancelled, "cancelled");
}

// With `reserved_` 0 whatever is wanted fits, or a step larger than the budget would never run.
bool Jobs::fits(std::uint64_t memory) const {
    if (most_ != 0 && running_ >= most_) return false;
    if (memory == 0 || budget_ == 0 || reserved_ == 0) return true;
    return reserved_ <= budget_ && memory <= budget_ - reserved_;
}

void Jobs::admit() {
    bool any = false;
    for (auto at = waiters_.begin(); at != waiters_.end();) {
        Waiter& waiter = **at;
        if (!fits(waiter.memory)) {
            ++at;
            continue;
        }
        at = waiters_.erase(at);
        ++running_;
        reserved_ += waiter.memory;
        waiter.admitted = any = true;
    }
    if (any) changed_.notify_all();
}

void Jobs::give_back(std::uint64_t memory) {
    const std::lock_guard lock(mutex_);
    --running_;
    reserved_ -= memory;
    admit();
}

std::size_t Jobs::running() const {
    const std::lock_guard lock(mutex_);
    return running_;
}

std::size_t Jobs::waiting() const {
    const std::lock_guard lock(mutex_);
    return waiters_.size();
}

}  // namespace shale::build
