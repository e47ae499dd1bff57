// Notes that `shale watch` leaves of itself for `shale watch --list` and `--stop`. A note is locked
// by its writer, so that one of a process that was killed is known for what it is, whoever has its
// number by now.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace shale::cli {

struct WatcherRecord {
    std::string directory;  // without symbolic links
    std::string backend;
    std::int64_t pid = 0;
    std::int64_t since_ns = 0;
    std::string note;  // the file that says so
};

// The note of this process; it goes with the object. Where none can be left, a warning says so.
class WatcherNote {
  public:
    WatcherNote(const std::string& root, const std::string& directory, const std::string& backend);
    WatcherNote(const WatcherNote&) = delete;
    ~WatcherNote();

  private:
    std::string path_;
    UniqueFd lock_;
};

// Of this user; `root` is that of the store in use (see runtime_directory.hpp). By directory.
std::vector<WatcherRecord> running_watchers(const std::string& root);

// Asks it to end and waits until it has. Failed if it does not within seconds.
void stop_watcher(const WatcherRecord& watcher);

// Without symbolic links.
std::string real_directory(const std::string& path);

}  // namespace shale::cli
