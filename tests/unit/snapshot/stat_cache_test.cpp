// StatCache: persistence, expiry, damage.
#include "../../support/tick.hpp"

#include <shale/codec.hpp>
#include <shale/snapshot.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shale::snapshot {
namespace {

constexpr std::int64_t kDay = 86'400'000'000'000;

class FakeClock : public Clock {
  public:
    std::int64_t now_ns() const override { return now; }
    std::int64_t now = 20'000 * kDay;
};

class StatCacheFile : public ::testing::Test {
  protected:
    StatCacheFile() {
        for (int at = 0; at < 5; ++at)
            write_file_atomic(tree_.path() + "/f" + std::to_string(at), as_bytes("content"));
        testing::wait_for_inode_clock();
    }
    // Scans the five files; how many came from the cache.
    std::uint64_t hits(StatCache& cache) const {
        ScanOptions options;
        options.stat_cache = &cache;
        ScanStats stats;
        scan(tree_.path(), options, &stats);
        return stats.files_from_cache;
    }
    void fill() const {
        StatCache cache(file_, clock_);
        hits(cache);
        cache.save();
        StatCache again(file_, clock_);
        if (hits(again) < 5) GTEST_SKIP() << "the temporary directory has no trusted ctime";
    }
    std::uint64_t hits_of_file() const {
        StatCache cache(file_, clock_);
        return hits(cache);
    }

    TempDir tree_, home_;
    std::string file_ = home_.path() + "/stat-cache";
    FakeClock clock_;
};

TEST_F(StatCacheFile, SurvivesTheProcess) {
    fill();
    EXPECT_EQ(hits_of_file(), 5u);
}

TEST_F(StatCacheFile, NothingIsWrittenWithoutSave) {
    StatCache cache(file_, clock_);
    hits(cache);
    EXPECT_FALSE(path_exists(file_));
}

TEST_F(StatCacheFile, SaveWithoutNewsDoesNotRewrite) {
    fill();
    struct stat before {
    }, after{};
    ASSERT_EQ(::stat(file_.c_str(), &before), 0);
    StatCache cache(file_, clock_);
    hits(cache);
    cache.save();
    ASSERT_EQ(::stat(file_.c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(StatCacheFile, EntriesUnusedForAMonthAreDropped) {
    fill();
    clock_.now += 30 * kDay;
    {
        StatCache cache(file_, clock_);
        ASSERT_EQ(hits(cache), 5u);  // used: lives on
        cache.save();
    }
    clock_.now += 31 * kDay;
    {
        StatCache cache(file_, clock_);
        const TempDir other;
        write_file_atomic(other.path() + "/new", as_bytes("x"));
        ScanOptions options;
        options.stat_cache = &cache;
        testing::wait_for_inode_clock();
        scan(other.path(), options);
        cache.save();
    }
    EXPECT_EQ(hits_of_file(), 0u);
}

// Beyond some thousand look-ups a table is made; the answers stay the same, and so does what is
// saved when some of many files changed.
TEST_F(StatCacheFile, ManyFilesAreKnownAgain) {
    constexpr int kFiles = 6000;
    const auto path = [&](int number) { return tree_.path() + "/many" + std::to_string(number); };
    for (int number = 0; number < kFiles; ++number) {
        const UniqueFd fd = open_file(path(number), O_WRONLY | O_CREAT);
        write_all(fd.get(), as_bytes(std::to_string(number)), path(number));
    }
    testing::wait_for_inode_clock();
    fill();
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
    for (int number = 0; number < kFiles; number += 10) {
        const UniqueFd fd = open_file(path(number), O_WRONLY | O_TRUNC);
        write_all(fd.get(), as_bytes("changed"), path(number));
    }
    testing::wait_for_inode_clock();
    {
        StatCache cache(file_, clock_);
        EXPECT_EQ(hits(cache), kFiles + 5u - kFiles / 10);
        cache.save();
        EXPECT_EQ(hits(cache), kFiles + 5u) << "what was saved is known to who saved it";
    }
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
}

TEST_F(StatCacheFile, EveryDamageMeansAnEmptyCache) {
    fill();
    const std::string good = read_file(file_);
    EXPECT_EQ(good.size(), 24 + 5 * 80 + 16u);
    for (std::size_t at = 0; at < good.size(); at += 7) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        write_file_atomic(file_, as_bytes(bad));
        ASSERT_EQ(hits_of_file(), 0u) << "byte " << at;
    }
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{10}, good.size() - 80, good.size() - 1}) {
        write_file_atomic(file_, as_bytes(good.substr(0, size)));
        ASSERT_EQ(hits_of_file(), 0u) << size << " bytes";
    }
    write_file_atomic(file_, as_bytes(good));
    EXPECT_EQ(hits_of_file(), 5u);
}

TEST_F(StatCacheFile, DirectoryInItsPlaceIsAnEmptyCache) {
    make_directories(file_);
    StatCache cache(file_, clock_);
    EXPECT_EQ(hits(cache), 0u);
}

TEST_F(StatCacheFile, ChangedFileReplacesItsEntry) {
    fill();
    {
        StatCache cache(file_, clock_);
        write_file_atomic(tree_.path() + "/f0", as_bytes("another"));
        EXPECT_EQ(hits(cache), 4u);
        cache.save();
    }
    EXPECT_LE(read_file(file_).size(), 24 + 6 * 80 + 16u);
}

}  // namespace
}  // namespace shale::snapshot
