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
    std::string path;            // relative to the root of the walk
    std::size_t depth = 0;       // of the directory that holds it
    // Guarded by Prefetch's mutex:
    State state = State::Idle;
    bool is_warmed = false;  // somebody is or was in there to warm the kernel's caches
    std::shared_ptr<Listing> listing;
    // What is to become of its records: asked by whoever read it ahead, if the filter allows that,
    // else by the walking thread.
    bool is_planned = false;
    std::vector<Decision> decisions;                  // record by record; empty without a filter
    std::vector<std::shared_ptr<Job>> children;       // of the directories not pruned, in order
    std::list<std::shared_ptr<Job>>::iterator place;  // while queued
};

inline bool is_descended_into(const Record& record, Decision decision) {
    return record.type == FileType::Directory && !record.is_mount_point &&
           decision != Decision::Prune;
}

// Jobs wait in stream order: those of the directory entered last come first, because the walk needs
// them first. Workers take from the front. The walking thread takes the job it needs: if nobody has
// begun it, it does the work itself; if somebody has, it reads ahead like a worker meanwhile. So it
// never waits for a queue, and read-ahead can be bounded without a deadlock. Each depth has a bound
// of its own: else listings that are needed late, those of a large directory near the root, would
// leave no room for those that are needed next. What is found in a directory that was read ahead is
// read ahead, too, unless a filter insists on the walking thread: the walk alone would not know of
// enough.
//
// On a cold disk that is not enough: directories that are neighbours have their inodes in the same
// few blocks, so those who read them wait for the same requests. Warmers look far ahead instead,
// from the end of the queue: they read whole subtrees and forget what they saw, for the walk to
// find it in the kernel's caches. They end when what they read is there already.
class Prefetch {
  public:
    Prefetch(const std::string& root, const Options& options, const EngineOptions& engine);
    ~Prefetch();

    // Asks the filter about everything in a directory that take() gave and nobody has planned, and
    // puts the jobs of what is in it before all others.
    void plan(Job& job, const std::shared_ptr<Listing>& listing);
    // The job's listing; reads it here if no worker has started.
    std::shared_ptr<Listing> take(Job& job);
    // Of all threads. Only after the last take().
    Stats stats();
    EngineReport report();

  private:
    std::shared_ptr<Listing> read(ListingReader& reader, const Job& job) const;
    bool may_plan_ahead() const { return !options_.filter || options_.filter_is_concurrent; }
    void fill_plan(Job& job, const std::shared_ptr<Listing>& listing) const;
    void start_worker();
    void start_warmer();
    void warm();
    // With the lock held: a directory for a warmer; null if there is none, or no need.
    std::shared_ptr<Job> next_to_warm();
    // False if it is time to end.
    bool warm_below(ListingReader& reader, const Listing& parent, const char* name,
                    const std::string& path, unsigned levels);
    // With the lock held: learns from a listing whether more threads would help.
    void consider(const Listing& listing);
    void work(ListingReader& reader);
    // Both with the lock held; reading releases it meanwhile.
    bool may_read_ahead();
    bool has_room() const;
    void wake_if_room();
    void queue_first(const std::vector<std::shared_ptr<Job>>& jobs);
    void read_front(ListingReader& reader, std::unique_lock<std::mutex>& lock);

    const std::string& root_;
    const Options& options_;
    const Engine engine_;
    const unsigned max_threads_;
    std::mutex mutex_;
    // Guarded by mutex_:
    std::vector<std::unique_ptr<ListingReader>> readers_;
    unsigned read_lately_ = 0, blocked_lately_ = 0;
    std::condition_variable to_worker_, to_walker_;
    std::list<std::shared_ptr<Job>> queue_;
    std::size_t listings_ahead_ = 0, entries_ahead_ = 0;  // those being read included, and not
    std::vector<std::size_t> ahead_at_;                   // listings_ahead_ by depth
    bool is_full_ = false;                                // enough has been read ahead for now
    bool stopping_ = false;
    unsigned warmers_ = 0, warmers_started_ = 0;
    std::uint64_t warmers_blocked_ = 0;

    ListingReader* walker_ = nullptr;    // the reader of the walking thread
    std::vector<std::jthread> workers_;  // last: joined before anything they use goes
};

}  // namespace shale::walk
