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

    // Where a look-up stands in the order of all: of one scan's, the number of the node is added.
    using Order = std::uint64_t;
    // Safe from any thread.
    Order begin_scan();
    std::optional<Digest> find(const FileStamp& stamp, Order order);
    void insert(const FileStamp& stamp, const Digest& digest, Order order);
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
        auto operator<=>(const Inode&) const = default;
    };
    struct Fresh {
        Record record;
        Order order;
    };
    struct InodeHash {
        std::size_t operator()(const Inode& inode) const {
            const auto mixed = (inode.ino ^ inode.dev << 32) * 0x9e3779b97f4a7c15ull;
            return mixed ^ mixed >> 32;
        }
    };

    void load_once();
    void load();
    // Of the record of this inode; nullopt if there is none.
    std::optional<std::size_t> position_of(const Inode& inode);
    std::optional<std::size_t> search(const Inode& inode) const;
    void make_table();
    Inode inode_at(std::size_t position) const {
        return {loaded_[position].stamp.dev, loaded_[position].stamp.ino};
    }
    std::uint32_t today() const;
    void append_records(std::string& out) const;
    std::string encode() const;
    bool load_records();
    // The other file: what is new since the first was written, while that is little.
    std::string recent_path() const { return path_ + ".recent"; }
    bool is_little() const;
    bool is_still_there() const;
    std::string encode_recent() const;
    void load_recent();

    std::string path_;  // empty: in memory only
    const Clock& clock_;
    std::mutex mutex_;
    // Guarded by mutex_:
    bool is_loaded_ = false;  // on first use: whoever knows better may never look
    Mapping file_;
    std::span<const Record> loaded_;         // within file_: one per inode, in order of look-ups
    std::span<const std::uint32_t> sorted_;  // their positions by inode; none is checked
    std::string sum_;                        // the checksum of that file
    std::vector<Order> found_;               // when each of them was; 0: it was not
    std::size_t next_ = 0;                   // of loaded_: what is likely asked for next
    Order scans_ = 0;
    std::uint32_t today_ = 0;  // when it was loaded
    std::size_t searches_ = 0;
    std::vector<std::uint32_t> slots_;  // hash table: inode -> position, once it is worth it
    // Of this run, and those of the other file. They hide loaded ones.
    std::unordered_map<Inode, Fresh, InodeHash> fresh_;
    bool changed_ = false;
    bool aged_ = false;  // a record was used whose day is not today
};

}  // namespace shale::snapshot
