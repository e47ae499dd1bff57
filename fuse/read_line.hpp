// Reads that may wait for a registry, a bounded number at a time.
//
// Names, attributes and lists are answered from memory. If every serving thread could be held by a
// read that waits, so would they be; therefore some threads never read. A read that finds enough
// others under way stands in line, and its thread goes on; whoever has read takes the next.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace shale::fuse {

struct ReadJob {
    fuse_req_t request;
    fuse_ino_t inode;
    std::size_t size;
    off_t offset;
};

class ReadLine {
  public:
    // 0: no bound, and nothing stands in line.
    void set_limit(unsigned limit) { limit_ = limit; }

    // Does `read(job)` now and then what stands in line, or puts the job there.
    template <typename Read>
    void run(const ReadJob& job, const Read& read) {
        if (limit_ == 0) return read(job);
        if (!enter(job)) return;
        read(job);
        while (const auto next = next_or_leave())
            read(*next);
    }

    // Hands over what stands in line, for ever: nothing will stand there any more.
    std::deque<ReadJob> close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        return std::exchange(waiting_, {});
    }

  private:
    bool enter(const ReadJob& job) {
        const std::lock_guard lock(mutex_);
        if (active_ == limit_ && !closed_) {
            waiting_.push_back(job);
            return false;
        }
        ++active_;
        return true;
    }

    std::optional<ReadJob> next_or_leave() {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) {
            --active_;
            return std::nullopt;
        }
        const ReadJob next = waiting_.front();
        waiting_.pop_front();
        return next;
    }

    unsigned limit_ = 0;  // before serving begins
    std::mutex mutex_;
    unsigned active_ = 0;
    std::deque<ReadJob> waiting_;
    bool closed_ = false;
};

}  // namespace shale::fuse
