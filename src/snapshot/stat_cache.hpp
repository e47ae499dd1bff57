// StatCache's insides: content digests by file identity, and when one may be remembered.
#pragma once

#include <shale/snapshot.hpp>

#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace shale::snapshot {

// All that tells one state of a file from another without reading it.
struct FileStamp {
    std::uint64_t dev = 0, ino = 0, size = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    auto operator<=>(const FileStamp&) const = default;
};

// The file system's idea of now, as of the last tick: no change made after this call gets a ctime
// before what it returns. See is_settled().
std::int64_t filesystem_tick_ns();

// Whether a file with this ctime, whose reading began at `tick_ns`, can be told from any later
// state of itself: its ctime lies in an earlier tick of the clock that will stamp the next change.
bool is_settled(std::int64_t ctime_ns, std::int64_t tick_ns);

// Whether ctime can be trusted on the file system that holds `fd`: a local one of a known kind.
bool is_trusted_filesystem(int fd);

struct StatCache::Impl {
    explicit Impl(std::string file, const Clock& its_clock);

    // Safe from any thread.
    std::optional<Digest> find(const FileStamp& stamp);
    void insert(const FileStamp& stamp, const Digest& digest);
    void save();

  private:
    struct Record {  // as in the file
        FileStamp stamp;
        Digest digest;
        std::uint32_t day = 0;  // last used, days since the epoch
        std::uint32_t reserved = 0;
    };
    static_assert(sizeof(Record) == 80, "docs/formats/stat-cache.md");
    struct Inode {
        std::uint64_t dev, ino;
        bool operator==(const Inode&) const = default;
    };
    struct InodeHash {
        std::size_t operator()(const Inode& inode) const {
            const auto mixed = (inode.ino ^ inode.dev << 32) * 0x9e3779b97f4a7c15ull;
            return mixed ^ mixed >> 32;
        }
    };

    void load_once();
    void load();
    std::optional<std::size_t> position_of(const FileStamp& stamp);
    std::optional<std::size_t> search(std::size_t from, std::size_t to,
                                      const FileStamp& stamp) const;
    void index();
    std::uint32_t today() const;
    std::string encode();

    std::string path_;  // empty: in memory only
    const Clock& clock_;
    std::mutex mutex_;
    // Guarded by mutex_:
    bool is_loaded_ = false;  // on first use: whoever knows better may never look
    Mapping file_;
    std::span<const Record> loaded_;  // within file_: sorted by stamp, one per inode
    std::vector<bool> used_;          // those of them that were found
    std::size_t last_found_ = 0;
    std::uint32_t today_ = 0;  // when it was loaded
    std::size_t searches_ = 0;
    std::vector<std::uint32_t> slots_;  // hash table: inode -> position, once it is worth it
    std::unordered_map<Inode, Record, InodeHash> fresh_;  // of this run; they hide loaded ones
    bool changed_ = false;
};

}  // namespace shale::snapshot
