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
    const auto at = std::lower_bound(
        loaded_.begin(), loaded_.end(), stamp,
        [](const Record& record, const FileStamp& wanted) { return record.stamp < wanted; });
    if (at == loaded_.end() || at->stamp != stamp) return std::nullopt;
    if (at->day != today()) {
        at->day = today();
        changed_ = true;
    }
    return at->digest;
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
    const std::uint32_t now = today();
    std::vector<Record> kept;
    kept.reserve(loaded_.size() + fresh_.size());
    for (const Record& record : loaded_)
        if (record.day + kKeepDays >= now && !fresh_.contains({record.stamp.dev, record.stamp.ino}))
            kept.push_back(record);
    for (const auto& [inode, record] : fresh_)
        if (record.day + kKeepDays >= now) kept.push_back(record);
    std::sort(kept.begin(), kept.end(),
              [](const Record& a, const Record& b) { return a.stamp < b.stamp; });
    write_file_atomic(path_, as_bytes(encode(kept)), 0600);
    loaded_ = std::move(kept);
    fresh_.clear();
    changed_ = false;
}

std::string StatCache::Impl::encode(const std::vector<Record>& records) const {
    std::string out(kMagic, sizeof kMagic);
    put_little(out, kVersion);
    put_little(out, std::uint32_t{0});
    put_little(out, std::uint64_t{records.size()});
    out.append(reinterpret_cast<const char*>(records.data()), records.size() * sizeof(Record));
    const auto checksum = codec::xxh3_128(as_bytes(out));
    put_little(out, checksum.low);
    put_little(out, checksum.high);
    return out;
}

// A cache is only ever a saving: whatever is wrong with the file, the answer is to start empty.
void StatCache::Impl::load() {
    const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    const Mapping file(path_);
    const Bytes bytes = file.bytes();
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
    std::vector<Record> records(count);
    if (count > 0)
        std::memcpy(records.data(), in.take(in.remaining()).data(), count * sizeof(Record));
    const auto by_stamp = [](const Record& a, const Record& b) { return a.stamp < b.stamp; };
    if (std::is_sorted(records.begin(), records.end(), by_stamp)) loaded_ = std::move(records);
}

StatCache::StatCache() : impl_(std::make_unique<Impl>(std::string(), system_clock())) {}
StatCache::StatCache(const std::string& path, const Clock& clock)
    : impl_(std::make_unique<Impl>(path, clock)) {}
StatCache::~StatCache() = default;
void StatCache::save() {
    impl_->save();
}

}  // namespace shale::snapshot
