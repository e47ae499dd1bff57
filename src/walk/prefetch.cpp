// The workers' loop and the bounds of read-ahead.
#include "prefetch.hpp"

#include <algorithm>

namespace shale::walk {

namespace {

// Each listing that waits holds a descriptor, of which a process has 1024 by default; entries bound
// the memory (about 120 bytes each).
constexpr std::size_t kListingsAhead = 256, kListingsAtDepth = 48;
constexpr std::size_t kEntriesAhead = 64 << 10;

// A cold directory sleeps at least once, and a cold disk is kept busy only by many requests; on a
// warm one more threads than cores only get in each other's way. So a thread is added whenever most
// of the last few directories slept.
constexpr unsigned kSample = 8, kBlockedOfSample = 5;

// Of the threads that join then, this many read ahead as the others do; the rest are warmers.
constexpr unsigned kMoreWorkers = 2;
// Every level below is a descriptor. Warmers end where nothing is cold, and may be wanted again.
constexpr unsigned kWarmedLevels = 6, kWarmersStarted = 64;
// How many jobs a warmer looks at from the end of the queue.
constexpr unsigned kJobsLookedAt = 64;
// Whether a warmer goes on is decided after so many directories.
constexpr std::uint64_t kWarmerSample = 64;

}  // namespace

Prefetch::Prefetch(const std::string& root, const Options& options, const EngineOptions& engine)
    : root_(root), options_(options), engine_(engine.engine),
      max_threads_(std::max(options.threads, engine.cold_threads)) {
    readers_.push_back(std::make_unique<ListingReader>(options, engine_));
    walker_ = readers_.front().get();
    for (unsigned at = 1; at < options.threads; ++at)
        start_worker();
}

void Prefetch::start_worker() {
    readers_.push_back(std::make_unique<ListingReader>(options_, engine_));
    workers_.emplace_back([this, reader = readers_.back().get()] { work(*reader); });
}

void Prefetch::consider(const Listing& listing) {
    ++read_lately_;
    blocked_lately_ += listing.blocked;
    if (read_lately_ < kSample) return;
    const bool is_cold = blocked_lately_ >= kBlockedOfSample;
    read_lately_ = blocked_lately_ = 0;
    // With io_uring every call sleeps, and the kernel has workers of its own.
    if (!is_cold || engine_ == Engine::Uring || options_.threads < 2 || stopping_ ||
        readers_.size() + warmers_ >= max_threads_)
        return;
    if (readers_.size() < options_.threads + kMoreWorkers || !may_plan_ahead())
        start_worker();
    else if (warmers_started_ < kWarmersStarted)
        start_warmer();
}

void Prefetch::start_warmer() {
    ++warmers_;
    ++warmers_started_;
    workers_.emplace_back([this] { warm(); });
}

std::shared_ptr<Job> Prefetch::next_to_warm() {
    unsigned looked_at = 0;
    for (auto at = queue_.rbegin(); at != queue_.rend() && looked_at < kJobsLookedAt;
         ++at, ++looked_at)
        if (!(*at)->is_warmed) return *at;
    return nullptr;
}

// Its calls are no part of the walk's statistics: it does nothing that the walk does not do again.
void Prefetch::warm() {
    ListingReader reader(options_, Engine::Threads);
    std::unique_lock lock(mutex_);
    for (;;) {
        std::shared_ptr<Job> job;
        to_worker_.wait(lock, [&] { return stopping_ || (job = next_to_warm()); });
        if (stopping_) break;
        job->is_warmed = true;
        lock.unlock();
        bool goes_on = true;
        try {
            goes_on = warm_below(reader, *job->parent, job->name, job->path, kWarmedLevels);
        } catch (...) {  // of the filter: the walk will meet it, too
            goes_on = false;
        }
        lock.lock();
        if (!goes_on) break;
    }
    --warmers_;
    warmers_blocked_ += reader.directories_blocked();
}

bool Prefetch::warm_below(ListingReader& reader, const Listing& parent, const char* name,
                          const std::string& path, unsigned levels) {
    const auto listing = reader.read(parent.fd.get(), name, path, join_path(root_, path));
    const std::uint64_t read = reader.stats().directories_opened;
    if (read % kWarmerSample == 0 && reader.directories_blocked() * 4 < read) return false;
    for (const Record& record : listing->records) {
        if (record.type != FileType::Directory || levels == 0) continue;
        {
            const std::lock_guard lock(mutex_);
            if (stopping_) return false;
        }
        const std::string below = join_path(path, listing->name(record));
        const auto decision = options_.filter ? options_.filter(below, true) : Decision::Include;
        if (is_descended_into(record, decision) &&
            !warm_below(reader, *listing, listing->c_name(record), below, levels - 1))
            return false;
    }
    return true;
}

// Workers that were just being started see stopping_ and end, too: it is set under the lock that
// start_worker() is called with.
Prefetch::~Prefetch() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    to_worker_.notify_all();
}

void Prefetch::plan(Job& job, const std::shared_ptr<Listing>& listing) {
    fill_plan(job, listing);
    if (options_.threads < 2) return;  // nobody would read what is queued
    const std::lock_guard lock(mutex_);
    queue_first(job.children);
}

void Prefetch::queue_first(const std::vector<std::shared_ptr<Job>>& jobs) {
    if (jobs.empty()) return;
    const auto first = queue_.begin();
    for (const auto& job : jobs) {
        job->place = queue_.insert(first, job);
        job->state = Job::State::Queued;
    }
    wake_if_room();
}

std::shared_ptr<Listing> Prefetch::take(Job& job) {
    std::unique_lock lock(mutex_);
    if (job.state == Job::State::Queued) queue_.erase(job.place);
    if (job.state == Job::State::Queued || job.state == Job::State::Idle) {
        lock.unlock();
        return read(*walker_, job);
    }
    // A worker is at it. Sleeping and being woken costs more than reading a directory, so read
    // ahead meanwhile; sleep only if there is nothing to read.
    while (job.state != Job::State::Ready)
        if (may_read_ahead())
            read_front(*walker_, lock);
        else
            to_walker_.wait(lock, [&] { return job.state == Job::State::Ready; });
    --listings_ahead_;
    --ahead_at_[job.depth];
    entries_ahead_ -= job.listing->records.size();
    if (is_full_) wake_if_room();
    return std::move(job.listing);
}

std::shared_ptr<Listing> Prefetch::read(ListingReader& reader, const Job& job) const {
    return reader.read(job.parent->fd.get(), job.name, job.path, join_path(root_, job.path));
}

void Prefetch::fill_plan(Job& job, const std::shared_ptr<Listing>& listing) const {
    job.is_planned = true;
    std::string path = job.path;
    if (!path.empty()) path.push_back('/');
    const std::size_t stem = path.size();
    for (const Record& record : listing->records) {
        const bool is_directory = record.type == FileType::Directory;
        if (!is_directory && !options_.filter) continue;
        path.resize(stem);
        path.append(listing->name(record));
        auto decision = Decision::Include;
        if (options_.filter) {
            decision = options_.filter(path, is_directory);
            job.decisions.push_back(decision);
        }
        if (!is_descended_into(record, decision)) continue;
        auto child = std::make_shared<Job>();
        child->parent = listing;
        child->name = listing->c_name(record);
        child->path = path;
        child->depth = job.depth + 1;
        job.children.push_back(std::move(child));
    }
}

// Once a bound is reached, workers stay away until half of it is used up; waking them for each
// listing taken would be a context switch per directory.
bool Prefetch::has_room() const {
    const std::size_t share = is_full_ ? 2 : 1;
    const std::size_t depth = queue_.front()->depth;
    return listings_ahead_ < kListingsAhead / share && entries_ahead_ < kEntriesAhead / share &&
           (depth >= ahead_at_.size() || ahead_at_[depth] < kListingsAtDepth / share);
}

bool Prefetch::may_read_ahead() {
    if (queue_.empty()) return false;
    is_full_ = !has_room();
    return !is_full_;
}

void Prefetch::wake_if_room() {
    if (may_read_ahead()) to_worker_.notify_all();
}

void Prefetch::read_front(ListingReader& reader, std::unique_lock<std::mutex>& lock) {
    const std::shared_ptr<Job> job = std::move(queue_.front());
    queue_.pop_front();
    job->state = Job::State::Busy;
    ++listings_ahead_;
    if (ahead_at_.size() <= job->depth) ahead_at_.resize(job->depth + 1);
    ++ahead_at_[job->depth];
    lock.unlock();
    auto listing = read(reader, *job);
    try {
        if (may_plan_ahead()) fill_plan(*job, listing);
    } catch (...) {  // rethrown on the walking thread, in its place in the stream
        listing->failure = std::current_exception();
        job->children.clear();
    }
    lock.lock();
    consider(*listing);
    entries_ahead_ += listing->records.size();
    queue_first(job->children);
    job->listing = std::move(listing);
    job->state = Job::State::Ready;
    to_walker_.notify_one();
}

void Prefetch::work(ListingReader& reader) {
    std::unique_lock lock(mutex_);
    for (;;) {
        to_worker_.wait(lock, [&] { return stopping_ || may_read_ahead(); });
        if (stopping_) return;
        read_front(reader, lock);
    }
}

Stats Prefetch::stats() {
    const std::lock_guard lock(mutex_);
    SHALE_ENSURE(listings_ahead_ == 0);
    Stats sum;
    for (const auto& reader : readers_) {
        const Stats stats = reader->stats();
        sum.directories_opened += stats.directories_opened;
        sum.stat_calls += stats.stat_calls;
        sum.xattr_calls += stats.xattr_calls;
    }
    return sum;
}

EngineReport Prefetch::report() {
    const std::lock_guard lock(mutex_);
    EngineReport report;
    report.engine = walker_->engine();
    report.threads = static_cast<unsigned>(readers_.size()) + warmers_started_;
    for (const auto& reader : readers_)
        report.directories_blocked += reader->directories_blocked();
    report.directories_blocked += warmers_blocked_;  // of those that have ended
    return report;
}

}  // namespace shale::walk
