// walk: a directory tree -> a deterministic stream of entries: depth-first, names byte-sorted in
// each directory, the same on any number of threads.
//
// Fast path: getdents64 with large buffers, fstatat relative to the open directory, two threads
// (see docs/benchmarks.md); one more call per entry finds out that it has no xattrs. No path is
// ever resolved from the root; symbolic links are never followed. Entries that vanish while walking
// are left out; a directory that cannot be opened is an error naming its path (Denied), unless the
// filter excludes it.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::walk {

struct Entry {
    std::string_view path;  // relative to the root; "" is the root itself
    std::string_view name;
    int dir_fd = -1;  // open parent directory, valid during the callback (-1 for the root)
    FileType type = FileType::Regular;
    std::uint32_t mode = 0;  // 07777 bits
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    std::uint64_t dev = 0, ino = 0;
    std::uint32_t nlink = 1;
    std::uint32_t device_major = 0, device_minor = 0;  // of device nodes
    std::uint64_t blocks = 0;                          // 512-byte units
    std::string_view link_target;                      // symlinks
    const std::vector<Xattr>* xattrs = nullptr;        // sorted by name; null if none
};

enum class Decision {
    Include,
    Skip,   // leave this entry out, but look below it
    Prune,  // leave it out and never open it
};

struct Options {
    unsigned threads = 2;  // this many directories are read at once, the caller's thread included
    bool read_xattrs = true;
    // Asked on any of the walk's threads; xattrs for which it is false are left out. Null keeps
    // all.
    std::function<bool(std::string_view name)> keep_xattr;
    // If false, a mount point (also a bind mount) is an entry, but not descended into.
    bool cross_mounts = true;
    // Called on the thread that called walk(), before a directory is opened and before an entry is
    // delivered: for all entries of a directory in stream order when the walk enters it, so parents
    // before children. Not called for the root, which is always included. Null includes everything.
    // An included entry below a skipped directory makes that directory appear, before it.
    std::function<Decision(std::string_view path, bool is_directory)> filter;
    // The filter may instead be called on any of the walk's threads and by several at once; still
    // about a directory before anything in it. Then whole subtrees are read ahead.
    bool filter_is_concurrent = false;
    // For who knows which names of a directory matter: it is not read, and only those, sorted, are
    // looked for. Null for a directory of which all do. Called on any of the walk's threads with
    // the directory's path; what it points at stays as it is until the walk has ended.
    std::function<const std::vector<std::string>*(std::string_view directory)> only;
};

struct Stats {
    std::uint64_t entries = 0, directories_opened = 0, stat_calls = 0, xattr_calls = 0;
};

// Calls `on_entry` for the root and every included entry, in order, on the calling thread.
Stats walk(const std::string& root, const Options& options,
           const std::function<void(const Entry&)>& on_entry);

}  // namespace shale::walk
