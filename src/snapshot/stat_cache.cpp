// The stat cache: what a file contained when it last had this stamp.
//
// The racy rule. A digest may be kept only if any later change of the file must show in its stamp.
// mtime can be set back by anyone; ctime cannot, but it only moves with the clock that stamps
// inodes, which ticks every few milliseconds. So the hash must begin in a later tick than the
// file's ctime. The clock of the file systems we trust is the kernel's coarse real-time clock,
// which can be read without touching the disk; multigrain timestamps (Linux 6.13) only ever move a
// ctime further ahead. A file system that stores whole seconds shows itself by a ctime without a
// fraction, and is then held against whole seconds.
//
// Known gap, shared with every tool of the kind: a store through a shared mapping made before the
// hash began changes ctime only when its page is written back.
#include "stat_cache.hpp"

#include <shale/codec.hpp>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <bit>
#include <ctime>
#include <utility>

namespace shale::snapshot {

namespace {

constexpr char kMagic[8] = {'S', 'H', 'A', 'L', 'E', 'S', 'T', 'C'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kHeaderBytes = 24, kChecksumBytes = 16;
constexpr std::uint32_t kKeepDays = 30;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerDay = 86'400 * kNsPerSecond;
// Records on either side of the last one found that are searched first.
constexpr std::size_t kNear = 256;
// Look-ups by search before a table is made.
constexpr std::size_t kSearches = 4096;
constexpr std::uint32_t kNoRecord = 0xffffffff;
constexpr long kXfsMagic = 0x58465342;  // linux/magic.h leaves XFS out

}  // namespace

std::int64_t filesystem_tick_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

bool is_settled(std::int64_t ctime_ns, std::int64_t tick_ns) {
    const bool whole_seconds = ctime_ns % kNsPerSecond == 0;
    return ctime_ns < (whole_seconds ? tick_ns - tick_ns % kNsPerSecond : tick_ns);
}

bool is_trusted_filesystem(int fd) {
    struct statfs status {};
    if (::fstatfs(fd, &status) != 0) return false;
    switch (static_cast<long>(status.f_type)) {
    case EXT4_SUPER_MAGIC:
    case kXfsMagic:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case F2FS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

StatCache::Impl::Impl(std::string file, const Clock& its_clock)
    : path_(std::move(file)), clock_(its_clock) {}

void StatCache::Impl::load_once() {
    if (std::exchange(is_loaded_, true) || path_.empty()) return;
    load();
}

std::uint32_t StatCache::Impl::today() const {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(clock_.now_ns(), 0) / kNsPerDay);
}

std::optional<Digest> StatCache::Impl::find(const FileStamp& stamp) {
    const std::lock_guard lock(mutex_);
    load_once();
    if (const auto at = fresh_.find({stamp.dev, stamp.ino}); at != fresh_.end()) {
        if (at->second.stamp != stamp) return std::nullopt;
        return at->second.digest;
    }
    const auto at = position_of(stamp);
    if (!at) return std::nullopt;
    used_[*at] = true;
    changed_ |= loaded_[*at].day != today_;
    last_found_ = *at;
    return loaded_[*at].digest;
}

// Files of one directory mostly have inodes that are close to each other. A search among these
// stays within what is in the processor's cache already. Elsewhere it touches a new cache line for
// each halving: whoever looks up many is better off with a table, which takes some tens of
// milliseconds to make for a million records.
std::optional<std::size_t> StatCache::Impl::position_of(const FileStamp& stamp) {
    const std::size_t from = last_found_ - std::min(last_found_, kNear);
    const std::size_t to = std::min(loaded_.size(), last_found_ + kNear);
    if (from < to && loaded_[from].stamp <= stamp && stamp <= loaded_[to - 1].stamp)
        return search(from, to, stamp);
    if (slots_.empty() && ++searches_ > kSearches) index();
    if (!slots_.empty()) {
        const std::size_t mask = slots_.size() - 1;
        for (std::size_t slot = InodeHash{}({stamp.dev, stamp.ino}) & mask;;
             slot = (slot + 1) & mask) {
            if (slots_[slot] == kNoRecord) return std::nullopt;
            const FileStamp& known = loaded_[slots_[slot]].stamp;
            if (known.ino != stamp.ino || known.dev != stamp.dev) continue;
            return known == stamp ? std::optional<std::size_t>(slots_[slot]) : std::nullopt;
        }
    }
    return search(0, loaded_.size(), stamp);
}

std::optional<std::size_t> StatCache::Impl::search(std::size_t from, std::size_t to,
                                                   const FileStamp& stamp) const {
    const auto begin = loaded_.begin(), end = begin + static_cast<std::ptrdiff_t>(to);
    const auto at = std::lower_bound(
        begin + static_cast<std::ptrdiff_t>(from), end, stamp,
        [](const Record& record, const FileStamp& wanted) { return record.stamp < wanted; });
    if (at == end || at->stamp != stamp) return std::nullopt;
    return static_cast<std::size_t>(at - begin);
}

void StatCache::Impl::index() {
    if (loaded_.size() >= kNoRecord) return;
    slots_.assign(std::bit_ceil(2 * loaded_.size() + 1), kNoRecord);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = 0; at < loaded_.size(); ++at) {
        std::size_t slot = InodeHash{}({loaded_[at].stamp.dev, loaded_[at].stamp.ino}) & mask;
        while (slots_[slot] != kNoRecord)
            slot = (slot + 1) & mask;
        slots_[slot] = static_cast<std::uint32_t>(at);
    }
}

void StatCache::Impl::insert(const FileStamp& stamp, const Digest& digest) {
    const std::lock_guard lock(mutex_);
    fresh_[{stamp.dev, stamp.ino}] = {stamp, digest, today(), 0};
    changed_ = true;
}

void StatCache::Impl::save() {
    const std::lock_guard lock(mutex_);
    if (path_.empty() || !changed_) return;
    load_once();
    write_file_atomic(path_, as_bytes(encode()), 0600);
    fresh_.clear();
    changed_ = false;
    is_loaded_ = false;  // the file is what counts now
}

// What is still wanted of the file, and what is new, merged in order.
std::string StatCache::Impl::encode() {
    const std::uint32_t now = today();
    const auto before = [](const Record& a, const Record& b) { return a.stamp < b.stamp; };
    std::vector<Record> fresh;
    fresh.reserve(fresh_.size());
    for (const auto& [inode, record] : fresh_)
        fresh.push_back(record);
    std::sort(fresh.begin(), fresh.end(), before);

    std::string out;
    out.reserve(kHeaderBytes + (loaded_.size() + fresh.size()) * sizeof(Record) + kChecksumBytes);
    out.assign(kMagic, sizeof kMagic);
    put_little(out, kVersion);
    put_little(out, std::uint32_t{0});
    put_little(out, std::uint64_t{0});  // how many, when it is known
    const auto put = [&](const Record& record) {
        if (record.day + kKeepDays >= now)
            out.append(reinterpret_cast<const char*>(&record), sizeof record);
    };
    auto next = fresh.begin();
    for (std::size_t at = 0; at < loaded_.size(); ++at) {
        Record record = loaded_[at];
        if (fresh_.contains({record.stamp.dev, record.stamp.ino})) continue;
        if (used_[at]) record.day = now;
        while (next != fresh.end() && before(*next, record))
            put(*next++);
        put(record);
    }
    std::for_each(next, fresh.end(), put);
    const std::uint64_t count = (out.size() - kHeaderBytes) / sizeof(Record);
    std::memcpy(out.data() + kHeaderBytes - sizeof count, &count, sizeof count);
    const auto checksum = codec::xxh3_128(as_bytes(out));
    put_little(out, checksum.low);
    put_little(out, checksum.high);
    return out;
}

// A cache is only ever a saving: whatever is wrong with the file, the answer is to start empty.
void StatCache::Impl::load() {
    loaded_ = {};
    used_.clear();
    searches_ = last_found_ = 0;
    today_ = today();
    slots_.clear();
    const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    try {
        file_ = Mapping(path_);
    } catch (const Error&) {
        return;
    }
    const Bytes bytes = file_.bytes();
    if (bytes.size() < kHeaderBytes + kChecksumBytes) return;
    const Bytes covered = bytes.first(bytes.size() - kChecksumBytes);
    ByteReader trailer(bytes.last(kChecksumBytes), "stat cache");
    const auto checksum = codec::xxh3_128(covered);
    if (trailer.u64() != checksum.low || trailer.u64() != checksum.high) return;
    ByteReader in(covered, "stat cache");
    if (std::memcmp(in.take(sizeof kMagic).data(), kMagic, sizeof kMagic) != 0) return;
    if (in.u32() != kVersion || in.u32() != 0) return;
    const std::uint64_t count = in.u64();
    if (in.remaining() % sizeof(Record) != 0 || count != in.remaining() / sizeof(Record)) return;
    const std::span records(reinterpret_cast<const Record*>(covered.data() + kHeaderBytes), count);
    const auto by_stamp = [](const Record& a, const Record& b) { return a.stamp < b.stamp; };
    if (!std::is_sorted(records.begin(), records.end(), by_stamp)) return;
    loaded_ = records;
    used_.resize(count);
}

StatCache::StatCache() : impl_(std::make_unique<Impl>(std::string(), system_clock())) {}
StatCache::StatCache(const std::string& path, const Clock& clock)
    : impl_(std::make_unique<Impl>(path, clock)) {}
StatCache::~StatCache() = default;
void StatCache::save() {
    impl_->save();
}

}  // namespace shale::snapshot
