// ContentHasher: SHA-256 of many files on several threads, while the caller still walks.
#pragma once

#include "stat_cache.hpp"

#include <shale/snapshot.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shale::snapshot {

// One file to hash: `name` in the open directory `directory`, as it was when it was stat'ed.
struct HashJob {
    NodeId node = kNoNode;
    std::shared_ptr<const UniqueFd> directory;
    std::string name;
    FileStamp stamp;
    bool may_cache = false;   // it lies on a file system whose ctime is trusted
    std::uint64_t order = 0;  // in the cache
    bool is_sparse = false;
};

// What came of it.
struct HashOutcome {
    enum class Kind { Hashed, Vanished, Unstable, Refused };
    Kind kind = Kind::Hashed;
    NodeId node = kNoNode;
    Digest content;
    int error = 0;  // errno of Refused
    // Set if the file changed since it was stat'ed and was read again: what it is now.
    struct NewState {
        FileStamp stamp;
        std::uint32_t mode, uid, gid;
    };
    std::unique_ptr<NewState> changed;
};

// Each worker has a read engine of its own and hashes on the thread that the engine delivers on, so
// bytes are hashed on the core that has just read them. Workers start as jobs pile up: a scan that
// reads nothing starts none, one that reads a few files a single one.
class ContentHasher {
  public:
    ContentHasher(const io::EngineOptions& options, StatCache* cache);
    ~ContentHasher();

    void add(HashJob job);  // blocks while too many wait
    // Outcomes so far that nobody has taken yet, in no particular order; to be asked for now and
    // then, because a million of them weigh as much as the tree.
    std::vector<HashOutcome> take();
    // Waits for all; rethrows what stopped a worker. What is left of the outcomes.
    std::vector<HashOutcome> finish();

    // After finish().
    std::uint64_t files() const { return files_; }
    std::uint64_t bytes() const { return bytes_; }
    const std::string& engine() const { return engine_; }

  private:
    friend class HashWorker;
    void start_worker();
    void stop_and_join();

    const io::EngineOptions options_;
    StatCache* const cache_;
    const unsigned max_workers_;
    std::mutex mutex_;
    // Guarded by mutex_:
    std::condition_variable to_worker_, to_caller_;
    std::deque<HashJob> queue_;
    bool closed_ = false;  // no more jobs will come
    bool failed_ = false;  // jobs that wait are dropped
    std::exception_ptr failure_;
    std::vector<HashOutcome> outcomes_;
    std::uint64_t files_ = 0, bytes_ = 0;
    std::string engine_ = "none";

    std::vector<std::jthread> workers_;  // last: joined before anything they use goes
};

}  // namespace shale::snapshot
