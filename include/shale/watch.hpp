// watch: what changed below a directory, known without walking it.
//
// A Watcher listens to the kernel (a fanotify mark on the file system, or inotify on every
// directory where that is not permitted) and keeps the set of paths that changed, each with the
// moment it last did. Whoever took a snapshot at one moment can ask for what changed since, look at
// that alone, and edit the old tree.
//
// Why the answer is complete, or says that it is not. A token names a watcher and a moment of it;
// it is given out by a watcher that already listens, and a snapshot's token is taken before its
// walk begins, so every later change has an event behind the token. Before a watcher answers it
// reads all events there are, and the kernel queues an event before the call that caused it
// returns. What breaks this makes the answer incomplete: an overflow of the kernel's queue, more
// changes than are remembered, another watcher (the token's one died or the machine was rebooted),
// a directory that was moved, or a mount that came or went at, above or below it.
//
// Not seen by the kernel's events, and therefore not here: stores through a shared mapping, until
// the last descriptor or mapping of the file is closed.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::watch {

// A moment of one watcher. The default is no moment of any.
struct Token {
    std::string instance;  // random, hex
    std::uint64_t moment = 0;
    bool operator==(const Token&) const = default;
};

struct Change {
    std::string path;           // relative to the directory; "" is the directory itself
    bool with_subtree = false;  // anything below may have changed, too
    bool operator==(const Change&) const = default;
};

struct Answer {
    Token now;                    // to ask with next time
    bool complete = false;        // false: `changes` says nothing, only a full walk helps
    std::string why;              // it is not complete
    std::vector<Change> changes;  // in path order
};

enum class Backend { Auto, Fanotify, Inotify };

struct Options {
    Backend backend = Backend::Auto;
    std::size_t max_changes = 100'000;  // remembered; more are an overflow
};

// Belongs to one thread.
class Watcher {
  public:
    // Listens from here on. Denied if neither backend is permitted.
    explicit Watcher(const std::string& directory, const Options& options = {});
    ~Watcher();

    Answer changes_since(const Token& token);
    std::string_view backend() const;  // "fanotify" or "inotify"

    // Answers others, until asked to stop. Invalid if another process serves this directory.
    // `on_ready` is called once it listens for them.
    void serve(const std::stop_token& stop, const std::function<void()>& on_ready = {});

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Asks the process that serves `directory`, if there is one that this user may trust: of the same
// user, or root.
std::optional<Answer> ask(const std::string& directory, const Token& token);

// ---------------------------------------------------------------------------------------------

struct ScanResult {
    snapshot::Tree tree;
    bool incremental = false;
    std::string why;            // it was a full walk
    std::size_t looked_at = 0;  // paths that the watcher named
};

// snapshot::scan, helped by the watcher of `directory`. The last full snapshot and its token are
// kept under `state_directory`; without a watcher, or where its answer is incomplete, all is
// walked. The result is the same either way.
//
// `rules` names what the functions in `options` decide: equal text, equal decisions, now and in
// other processes. Without it options with functions are always walked; skip_content always is.
// Snapshots under some last rules of all directories are kept, those that were not used for longest
// go first.
ScanResult scan(const std::string& directory, const std::string& state_directory,
                const snapshot::ScanOptions& options, snapshot::ScanStats* stats = nullptr,
                const std::string& rules = {});

}  // namespace shale::watch
