// How many steps of a build execute at one time, and with how much memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <stop_token>

namespace shale::build {

class Jobs;

// The right to execute one step; given back at destruction.
class Job {
  public:
    Job(Job&& other) noexcept;
    Job& operator=(Job&&) = delete;
    ~Job();

  private:
    friend class Jobs;
    Job(Jobs& jobs, std::uint64_t memory) : jobs_(&jobs), memory_(memory) {}
    Jobs* jobs_;
    std::uint64_t memory_;
};

// Hands out jobs: who came first gets the first, unless it does not fit and a later one does. Safe
// from any thread.
//
// Whoever holds a job must wait for nothing that another step has: stages, locks and cache mounts
// come first, the job last. Then no two steps can wait for each other.
class Jobs {
  public:
    // `most` steps at one time, and as many as together reserve `memory_bytes`; 0 is no limit. A
    // step that wants more than there is gets it when no other step has any.
    Jobs(unsigned most, std::uint64_t memory_bytes) : most_(most), budget_(memory_bytes) {}
    Jobs(const Jobs&) = delete;

    // Waits for one; Cancelled if `stop` is requested before it comes. `memory` is in bytes.
    Job take(std::uint64_t memory, const std::stop_token& stop);

    std::size_t running() const;
    std::size_t waiting() const;

  private:
    friend class Job;
    struct Waiter {
        std::uint64_t memory;
        bool admitted = false;
    };
    bool fits(std::uint64_t memory) const;
    void admit();
    void give_back(std::uint64_t memory);

    const unsigned most_;
    const std::uint64_t budget_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::size_t running_ = 0;
    std::uint64_t reserved_ = 0;
    std::list<Waiter*> waiters_;  // each on the stack of its thread, in order of arrival
};

}  // namespace shale::build
