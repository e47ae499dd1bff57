// How the store writes: a file is born in a session directory under tmp/, made durable there, and
// only then renamed to its name.
#pragma once

#include <shale/base.hpp>
#include <shale/uncached_writer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace shale::store {

// The instants at which a crash is worth rehearsing. Each is announced *before* it happens.
enum class DurableStep { Create, SyncFile, Rename, SyncDirectory, Record };
// Called with every step and the path it is about; tests kill the process there, or note the order.
// Null outside tests. Set it before threads start.
using DurableHook = void (*)(DurableStep step, const std::string& path);
void set_durable_hook(DurableHook hook);
void announce(DurableStep step, const std::string& path);

// An exclusive or shared flock on a file that exists for nothing else. Taken by opening the file
// anew, so it excludes threads of one process as well as other processes.
class FileLock {
  public:
    enum class Mode { Shared, Exclusive };
    FileLock(const std::string& path, Mode mode);
    // Lets go for a moment if it has to, so that two that change to Exclusive do not wait for each
    // other. False if others still hold theirs after `patience`; then nothing is held any more.
    bool change(Mode mode, std::chrono::milliseconds patience);
    void release();
    // Processes that hold the lock at the moment, as far as this process may know.
    std::vector<int> holders() const;

  private:
    std::string path_;
    UniqueFd fd_;  // closing it lets go
};

// Changes whenever the system is started. Throws where there is no /proc.
std::string boot_id();

// One Store's own directory below tmp/, made on first use. An flock on the directory itself says
// that its owner lives, so leftovers of the dead can be told from work in progress whatever process
// namespace the owner is in. Safe from any thread.
class Session {
  public:
    explicit Session(std::string tmp_directory);
    ~Session();  // removes the directory if everything in it was published or abandoned
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    const std::string& directory();
    std::string new_path(std::string_view prefix);
    // Replaces the list of blobs that must outlive collections as long as this session does.
    void pin(const std::vector<Digest>& blobs);
    // What is in the directory stays when the owner dies without a word, as long as this system
    // runs.
    void keep();

  private:
    std::string tmp_directory_;
    std::once_flag made_;
    std::string directory_;
    UniqueFd lock_;
    std::atomic<std::uint64_t> next_{0};
};

// What living and kept sessions below `tmp_directory` have pinned.
std::vector<Digest> pinned_blobs(const std::string& tmp_directory);

// Removes what dead sessions left in `tmp_directory`: entries that nobody holds locked or wanted to
// be kept, and that are old enough. The age protects a session between its creation and its lock.
inline constexpr std::int64_t kLeftoverAgeNs = 10ll * kNsPerSecond;
void remove_leftovers(const std::string& tmp_directory, std::int64_t now_ns,
                      std::int64_t least_age_ns = kLeftoverAgeNs);

// Removes one that was to be kept, unless its owner lives.
void discard_session(const std::string& directory) noexcept;

// A file on its way to a name. Removed unless published.
class TempFile {
  public:
    // Long: much longer than what is read of it soon; all but its beginning goes around the page
    // cache.
    enum class Length { Usual, Long };
    TempFile(Session& session, std::string_view prefix, Length length = Length::Usual);
    ~TempFile();
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    void write(Bytes bytes);
    // Mode 0644, fsync, rename over `path`, fsync of the directory: durable when it returns.
    void publish(const std::string& path);
    // For what can be made again, and whose reader finds out if a crash left only a part of it.
    void publish_unsynced(const std::string& path);

  private:
    std::string path_;
    UniqueFd fd_;
    UncachedWriter writer_;
    std::uint64_t written_ = 0, flushing_ = 0;
};

void publish_file(Session& session, std::string_view prefix, const std::string& path, Bytes bytes);
void sync_directory_of(const std::string& path);

}  // namespace shale::store
