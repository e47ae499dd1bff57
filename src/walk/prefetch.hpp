// Prefetch: worker threads that read directories ahead of the walking thread.
#pragma once

#include "listing.hpp"

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shale::walk {

// One directory to be read. `parent` keeps the descriptor it is opened from. Shared by the walking
// thread and the queue: a walk that is aborted by an exception leaves its jobs to the workers.
struct Job {
    enum class State { Idle, Queued, Busy, Ready };
    std::shared_ptr<const Listing> parent;
    const char* name = nullptr;  // in parent->text
    std::string where;           // full path, for errors
    // Guarded by Prefetch's mutex:
    State state = State::Idle;
    std::shared_ptr<Listing> listing;
    std::list<std::shared_ptr<Job>>::iterator place;  // while queued
};

// Jobs wait in stream order: those of the directory entered last come first, because the walk needs
// them first. Workers take from the front. The walking thread takes the job it needs: if nobody has
// begun it, it does the work itself; if somebody has, it reads ahead like a worker meanwhile. So it
// never waits for a queue, and read-ahead can be bounded without a deadlock.
class Prefetch {
  public:
    Prefetch(const Options& options, const EngineOptions& engine);
    ~Prefetch();

    // Puts `jobs` before all others, keeping their order.
    void schedule(std::vector<std::shared_ptr<Job>> jobs);
    // The job's listing; reads it here if no worker has started.
    std::shared_ptr<Listing> take(Job& job);
    // Of all threads. Only after the last take().
    Stats stats();
    EngineReport report();

  private:
    static std::shared_ptr<Listing> read(ListingReader& reader, const Job& job);
    void start_worker();
    // With the lock held: learns from a listing whether more threads would help.
    void consider(const Listing& listing);
    void work(ListingReader& reader);
    // Both with the lock held; reading releases it meanwhile.
    bool may_read_ahead();
    void read_front(ListingReader& reader, std::unique_lock<std::mutex>& lock);

    const Options& options_;
    const Engine engine_;
    const unsigned max_threads_;
    std::mutex mutex_;
    // Guarded by mutex_:
    std::vector<std::unique_ptr<ListingReader>> readers_;
    unsigned read_lately_ = 0, blocked_lately_ = 0;
    std::condition_variable to_worker_, to_walker_;
    std::list<std::shared_ptr<Job>> queue_;
    std::size_t listings_ahead_ = 0, entries_ahead_ = 0, busy_ = 0;
    bool is_full_ = false;  // enough has been read ahead for now
    bool stopping_ = false;

    ListingReader* walker_ = nullptr;    // the reader of the walking thread
    std::vector<std::jthread> workers_;  // last: joined before anything they use goes
};

}  // namespace shale::walk
