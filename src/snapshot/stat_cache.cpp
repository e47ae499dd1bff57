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

#include <shale/checksum.hpp>

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

using codec::kChecksumBytes;

constexpr char kMagic[8] = {'S', 'H', 'A', 'L', 'E', 'S', 'T', 'C'};
constexpr char kRecentMagic[8] = {'S', 'H', 'A', 'L', 'E', 'S', 'T', 'R'};
constexpr std::uint32_t kVersion = 2;
constexpr std::uint64_t kHeaderBytes = 24;
constexpr std::uint32_t kKeepDays = 30;
// A record and its number in the index.
constexpr std::uint64_t kBytesPerRecord = 80 + 4;
constexpr std::int64_t kNsPerDay = 86'400 * kNsPerSecond;
// Records after the last one found that are looked at first: some may be of files that are gone.
constexpr std::size_t kNear = 4;
// Look-ups of one scan are numbered from a multiple of it.
constexpr int kNodeBits = 32;
// Look-ups by search before a table is made.
constexpr std::size_t kSearches = 4096;
constexpr std::uint32_t kNoRecord = 0xffffffff;
// As long as new records are no more than one of so many, the old ones are not written again.
constexpr std::size_t kRecentShare = 64;
constexpr long kXfsMagic = 0x58465342;  // linux/magic.h leaves XFS out

}  // namespace

std::int64_t filesystem_tick_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return to_ns(now);
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

StatCache::Impl::Order StatCache::Impl::begin_scan() {
    const std::lock_guard lock(mutex_);
    return ++scans_ << kNodeBits;
}

std::optional<Digest> StatCache::Impl::find(const FileStamp& stamp, Order order) {
    const std::lock_guard lock(mutex_);
    load_once();
    const Inode inode{stamp.dev, stamp.ino};
    if (!fresh_.empty())
        if (const auto at = fresh_.find(inode); at != fresh_.end()) {
            if (at->second.record.stamp != stamp) return std::nullopt;
            at->second.order = order;
            aged_ |= at->second.record.day != today_;
            return at->second.record.digest;
        }
    const auto at = position_of(inode);
    if (!at) return std::nullopt;
    next_ = *at + 1;
    const Record& record = loaded_[*at];
    if (record.stamp != stamp) return std::nullopt;
    found_[*at] = order;
    aged_ |= record.day != today_;
    return record.digest;
}

// Records lie as they were looked up last time, and a directory is walked in the same order again:
// so the next one is nearly always right, and reading them one after another is what processors
// are good at. A search touches a new cache line for each halving, twice; whoever does many is
// better off with a table, which takes some tens of milliseconds to make for a million records.
std::optional<std::size_t> StatCache::Impl::position_of(const Inode& inode) {
    const std::size_t near = std::min(loaded_.size(), next_ + kNear);
    for (std::size_t at = next_; at < near; ++at)
        if (inode_at(at) == inode) return at;
    if (slots_.empty() && ++searches_ > kSearches) make_table();
    if (slots_.empty()) return search(inode);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t slot = InodeHash{}(inode)&mask;; slot = (slot + 1) & mask) {
        if (slots_[slot] == kNoRecord) return std::nullopt;
        if (inode_at(slots_[slot]) == inode) return slots_[slot];
    }
}

// Whatever the index says in a file that is not what it should be: the answer is a record of this
// inode, or none.
std::optional<std::size_t> StatCache::Impl::search(const Inode& inode) const {
    const auto at = std::lower_bound(
        sorted_.begin(), sorted_.end(), inode, [&](std::uint32_t position, const Inode& wanted) {
            return position < loaded_.size() && inode_at(position) < wanted;
        });
    if (at == sorted_.end() || *at >= loaded_.size() || inode_at(*at) != inode) return std::nullopt;
    return *at;
}

void StatCache::Impl::make_table() {
    slots_.assign(std::bit_ceil(2 * loaded_.size() + 1), kNoRecord);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = 0; at < loaded_.size(); ++at) {
        std::size_t slot = InodeHash{}(inode_at(at)) & mask;
        while (slots_[slot] != kNoRecord)
            slot = (slot + 1) & mask;
        slots_[slot] = static_cast<std::uint32_t>(at);
    }
}

void StatCache::Impl::insert(const FileStamp& stamp, const Digest& digest, Order order) {
    const std::lock_guard lock(mutex_);
    fresh_[{stamp.dev, stamp.ino}] = {{stamp, digest, today(), 0}, order};
    changed_ = true;
}

void StatCache::Impl::save() {
    const std::lock_guard lock(mutex_);
    if (path_.empty() || !(changed_ || aged_)) return;
    load_once();
    if (is_little() && is_still_there()) {
        write_file_atomic(recent_path(), as_bytes(encode_recent()), 0600);
    } else {
        const std::string all = encode();
        ::unlink(recent_path().c_str());  // it adds to what will be no more
        write_file_atomic(path_, as_bytes(all), 0600);
    }
    fresh_.clear();
    changed_ = aged_ = false;
    is_loaded_ = false;  // the file is what counts now
}

bool StatCache::Impl::is_little() const {
    return !aged_ && fresh_.size() <= loaded_.size() / kRecentShare;
}

// Whether the file is the one that was loaded, and not another process's by now.
bool StatCache::Impl::is_still_there() const {
    const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    std::string sum(kChecksumBytes, '\0');
    return file && ::fstat(file.get(), &status) == 0 &&
           ::pread(file.get(), sum.data(), sum.size(),
                   status.st_size - static_cast<off_t>(kChecksumBytes)) ==
               static_cast<ssize_t>(kChecksumBytes) &&
           sum == sum_;
}

std::string StatCache::Impl::encode_recent() const {
    std::string out(kRecentMagic, sizeof kRecentMagic);
    put_little(out, kVersion);
    put_little(out, static_cast<std::uint32_t>(fresh_.size()));
    out += sum_;
    for (const auto& [inode, fresh] : fresh_)
        out.append(reinterpret_cast<const char*>(&fresh.record), sizeof fresh.record);
    codec::append_checksum(out);
    return out;
}

// What nobody asked for, as it lay; then what was, in that order. What nobody used for long is
// dropped.
void StatCache::Impl::append_records(std::string& out) const {
    const std::uint32_t now = today();
    struct Item {
        Order order;  // 0: not asked for
        std::size_t position;
        const Record* record;
    };
    std::vector<Item> items;
    items.reserve(loaded_.size() + fresh_.size());
    for (std::size_t at = 0; at < loaded_.size(); ++at)
        if (!fresh_.contains(inode_at(at))) items.push_back({found_[at], at, &loaded_[at]});
    for (const auto& [inode, fresh] : fresh_)
        items.push_back({fresh.order, 0, &fresh.record});
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
        return std::pair(a.order, a.position) < std::pair(b.order, b.position);
    });
    for (const Item& item : items) {
        Record record = *item.record;
        if (item.order != 0) record.day = now;
        if (record.day + kKeepDays >= now)
            out.append(reinterpret_cast<const char*>(&record), sizeof record);
    }
}

std::string StatCache::Impl::encode() const {
    std::string out;
    out.reserve(kHeaderBytes + (loaded_.size() + fresh_.size()) * kBytesPerRecord + kChecksumBytes);
    out.assign(kMagic, sizeof kMagic);
    put_little(out, kVersion);
    put_little(out, std::uint32_t{0});
    put_little(out, std::uint64_t{0});  // how many, when it is known
    append_records(out);
    const std::uint64_t count = (out.size() - kHeaderBytes) / sizeof(Record);
    if (count >= kNoRecord)
        fail(ErrorKind::Unsupported, "a stat cache of more than 4294967294 files");
    std::memcpy(out.data() + kHeaderBytes - sizeof count, &count, sizeof count);

    std::vector<std::pair<Inode, std::uint32_t>> sorted(count);
    for (std::uint32_t at = 0; at < count; ++at) {
        FileStamp stamp;
        std::memcpy(&stamp, out.data() + kHeaderBytes + at * sizeof(Record), sizeof stamp);
        sorted[at] = {{stamp.dev, stamp.ino}, at};
    }
    std::sort(sorted.begin(), sorted.end());
    for (const auto& [inode, position] : sorted)
        put_little(out, position);
    codec::append_checksum(out);
    return out;
}

// A cache is only ever a saving: whatever is wrong with the file, the answer is to start empty.
void StatCache::Impl::load() {
    if (load_records()) load_recent();
}

void StatCache::Impl::load_recent() {
    std::string text;
    try {
        text = read_file(recent_path());
    } catch (const Error&) {  // mostly there is none
        return;
    }
    const Bytes bytes = as_bytes(text);
    if (bytes.size() < sizeof kRecentMagic + 2 * sizeof kVersion + 2 * kChecksumBytes ||
        !codec::has_checksum(bytes))
        return;
    ByteReader in(bytes.first(bytes.size() - kChecksumBytes), "stat cache");
    if (std::memcmp(in.take(sizeof kRecentMagic).data(), kRecentMagic, sizeof kRecentMagic) != 0 ||
        in.u32() != kVersion)
        return;
    const std::uint64_t count = in.u32();
    if (as_text(in.take(kChecksumBytes)) != sum_ || in.remaining() != count * sizeof(Record))
        return;
    for (std::uint64_t at = 0; at < count; ++at) {
        Record record;
        std::memcpy(&record, in.take(sizeof record).data(), sizeof record);
        // What this run has found out itself is newer.
        fresh_.try_emplace({record.stamp.dev, record.stamp.ino}, Fresh{record, 0});
    }
}

// False if there are none.
bool StatCache::Impl::load_records() {
    loaded_ = {};
    sorted_ = {};
    sum_.clear();
    found_.clear();
    slots_.clear();
    searches_ = next_ = 0;
    today_ = today();
    const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
    try {
        file_ = Mapping(path_);
    } catch (const Error&) {
        return false;
    }
    const Bytes bytes = file_.bytes();
    if (bytes.size() < kHeaderBytes + kChecksumBytes || !codec::has_checksum(bytes)) return false;
    const Bytes covered = bytes.first(bytes.size() - kChecksumBytes);
    ByteReader in(covered, "stat cache");
    if (std::memcmp(in.take(sizeof kMagic).data(), kMagic, sizeof kMagic) != 0) return false;
    if (in.u32() != kVersion || in.u32() != 0) return false;
    const std::uint64_t count = in.u64();
    if (in.remaining() % kBytesPerRecord != 0 || count != in.remaining() / kBytesPerRecord ||
        count >= kNoRecord)
        return false;
    const auto* records = covered.data() + kHeaderBytes;
    found_.resize(count);
    loaded_ = {reinterpret_cast<const Record*>(records), count};
    sorted_ = {reinterpret_cast<const std::uint32_t*>(records + count * sizeof(Record)), count};
    sum_ = as_text(bytes.last(kChecksumBytes));
    return true;
}

StatCache::StatCache() : impl_(std::make_unique<Impl>(std::string(), system_clock())) {}
StatCache::StatCache(const std::string& path, const Clock& clock)
    : impl_(std::make_unique<Impl>(path, clock)) {}
StatCache::~StatCache() = default;
void StatCache::save() {
    impl_->save();
}

}  // namespace shale::snapshot
