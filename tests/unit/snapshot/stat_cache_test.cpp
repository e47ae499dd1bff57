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

// What is saved when some of many files changed is what is known then. And beyond some thousand
// look-ups of what is not the next file a table is made; the answers stay the same.
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
    StatCache cache(file_, clock_);
    for (int round = 0; round < 10; ++round) {
        ScanOptions options;
        options.stat_cache = &cache;
        // Every tenth file, so that the next one of the file never is it.
        options.walk.filter = [&](std::string_view entry, bool) {
            return entry.empty() || entry.back() == '0' + round ? walk::Decision::Include
                                                                : walk::Decision::Prune;
        };
        ScanStats stats;
        scan(tree_.path(), options, &stats);
        EXPECT_EQ(stats.files_from_cache, kFiles / 10u + (round < 5)) << round;
    }
    EXPECT_EQ(hits(cache), kFiles + 5u);
}

// What is looked up in another order than last time, or was not there, is found all the same.
TEST_F(StatCacheFile, AnotherOrderFindsTheSame) {
    fill();
    const TempDir other;
    for (int at = 0; at < 40; ++at)
        write_file_atomic(other.path() + "/g" + std::to_string(at), as_bytes(std::to_string(at)));
    testing::wait_for_inode_clock();
    const auto hits_in = [&](StatCache& cache, const std::string& directory) {
        ScanOptions options;
        options.stat_cache = &cache;
        ScanStats stats;
        scan(directory, options, &stats);
        return stats.files_from_cache;
    };
    {
        StatCache cache(file_, clock_);
        EXPECT_EQ(hits_in(cache, other.path()), 0u);
        EXPECT_EQ(hits_in(cache, tree_.path()), 5u);
        EXPECT_EQ(hits_in(cache, other.path()), 40u) << "of this run";
        cache.save();
    }
    StatCache cache(file_, clock_);
    EXPECT_EQ(hits_in(cache, tree_.path()), 5u);
    EXPECT_EQ(hits_in(cache, other.path()), 40u);
    for (int at = 10; at < 20; ++at)  // more in a row than are looked at
        ASSERT_EQ(::unlink((other.path() + "/g" + std::to_string(at)).c_str()), 0);
    write_file_atomic(other.path() + "/a-new-one", as_bytes("new"));
    EXPECT_EQ(hits_in(cache, other.path()), 30u);
}

// The index is not checked when the file is opened. If it lies, files are read again.
TEST_F(StatCacheFile, AWrongIndexGivesNoWrongAnswer) {
    fill();
    const std::string good = read_file(file_);
    const auto with_index = [&](const std::vector<std::uint32_t>& positions) {
        std::string text = good.substr(0, 24 + 5 * 80);
        for (const auto position : positions)
            put_little(text, position);
        const auto sum = codec::xxh3_128(as_bytes(text));
        put_little(text, sum.low);
        put_little(text, sum.high);
        write_file_atomic(file_, as_bytes(text));
    };
    const Digest digest = scan(tree_.path()).digest();
    std::vector<std::uint32_t> right;
    for (std::size_t at = 24 + 5 * 80; at < good.size() - 16; at += 4)
        right.push_back(ByteReader(as_bytes(good).subspan(at, 4), "index").u32());
    for (const auto& positions : {right,
                                  std::vector<std::uint32_t>{0, 0, 0, 0, 0},
                                  {5, 6, 7, 8, 4'000'000'000},
                                  {0xffffffff, 0, 0xffffffff, 1, 2}}) {
        with_index(positions);
        StatCache cache(file_, clock_);
        ScanOptions options;
        options.stat_cache = &cache;
        // The last one only, which is too far from the first to be found without the index.
        options.walk.filter = [](std::string_view path, bool) {
            return path.empty() || path == "f4" ? walk::Decision::Include : walk::Decision::Prune;
        };
        ScanStats stats;
        const Tree one = scan(tree_.path(), options, &stats);
        EXPECT_EQ(one.entry(one.find("f4")).content, codec::sha256("content"));
        EXPECT_EQ(stats.files_from_cache, positions == right ? 1u : 0u);
        options.walk.filter = nullptr;
        EXPECT_EQ(scan(tree_.path(), options).digest(), digest);
    }
}

// With enough of them, a few new ones are written to a file of their own.
class RecentStatCache : public StatCacheFile {
  protected:
    static constexpr int kFiles = 200;
    RecentStatCache() {
        for (int at = 0; at < kFiles; ++at)
            write_file_atomic(tree_.path() + "/g" + std::to_string(at), as_bytes("content"));
        testing::wait_for_inode_clock();
    }
    void change(int file, const std::string& content) const {
        write_file_atomic(tree_.path() + "/g" + std::to_string(file), as_bytes(content));
        testing::wait_for_inode_clock();
    }
    void scan_and_save() const {
        StatCache cache(file_, clock_);
        hits(cache);
        cache.save();
    }
    ino_t inode_of(const std::string& path) const {
        struct stat status {};
        return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
    }
    const std::string recent_ = file_ + ".recent";
};

TEST_F(RecentStatCache, HoldsWhatIsNewAndTheRestStaysAsItIs) {
    fill();
    const auto inode = inode_of(file_);
    for (int round = 0; round < 3; ++round) {
        change(round, "changed");
        EXPECT_EQ(hits_of_file(), kFiles + 4u) << round;
        scan_and_save();
        EXPECT_EQ(inode_of(file_), inode) << round;
        EXPECT_TRUE(path_exists(recent_));
        EXPECT_EQ(hits_of_file(), kFiles + 5u) << round;
    }
}

TEST_F(RecentStatCache, ManyNewOnesAreWrittenWithTheOthers) {
    fill();
    change(0, "changed");
    scan_and_save();
    for (int at = 0; at < 20; ++at)
        change(at, "again");
    const auto inode = inode_of(file_);
    scan_and_save();
    EXPECT_NE(inode_of(file_), inode);
    EXPECT_FALSE(path_exists(recent_));
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
}

TEST_F(RecentStatCache, ADayLaterAllAreWritten) {
    fill();
    change(0, "changed");
    scan_and_save();
    clock_.now += kDay;
    scan_and_save();
    EXPECT_FALSE(path_exists(recent_));
    clock_.now += 30 * kDay;
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
}

TEST_F(RecentStatCache, AnswersOnlyWithTheFileItAddsTo) {
    fill();
    const std::string first = read_file(file_);
    clock_.now += kDay;
    scan_and_save();
    const std::string second = read_file(file_);  // of the same files, another day
    ASSERT_NE(first, second);
    change(0, "changed");
    scan_and_save();
    ASSERT_TRUE(path_exists(recent_));
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
    write_file_atomic(file_, as_bytes(first));
    EXPECT_EQ(hits_of_file(), kFiles + 4u) << "it adds to the second";
    write_file_atomic(file_, as_bytes(second));
    EXPECT_EQ(hits_of_file(), kFiles + 5u);
}

// Two processes load the same file, and one of them writes it anew.
TEST_F(RecentStatCache, IsNotWrittenForAFileThatIsNoMore) {
    fill();
    change(0, "changed");
    StatCache first(file_, clock_);
    hits(first);
    for (int at = 1; at < 20; ++at)
        change(at, "more");
    scan_and_save();
    const auto inode = inode_of(file_);
    first.save();
    EXPECT_FALSE(path_exists(recent_));
    EXPECT_NE(inode_of(file_), inode) << "the later one's records remain";
}

TEST_F(RecentStatCache, IsLeftAloneWhenDamaged) {
    fill();
    change(0, "changed");
    scan_and_save();
    const std::string recent = read_file(recent_);
    for (std::size_t at = 0; at < recent.size(); at += 5) {
        std::string damaged = recent;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        write_file_atomic(recent_, as_bytes(damaged));
        ASSERT_EQ(hits_of_file(), kFiles + 4u) << at;
        write_file_atomic(recent_, as_bytes(recent).first(at));
        ASSERT_EQ(hits_of_file(), kFiles + 4u) << at;
    }
}

TEST_F(StatCacheFile, EveryDamageMeansAnEmptyCache) {
    fill();
    const std::string good = read_file(file_);
    EXPECT_EQ(good.size(), 24 + 5 * 84 + 16u);
    for (std::size_t at = 0; at < good.size(); at += 7) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        write_file_atomic(file_, as_bytes(bad));
        ASSERT_EQ(hits_of_file(), 0u) << "byte " << at;
    }
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{10}, good.size() - 84, good.size() - 1}) {
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
    EXPECT_LE(read_file(file_).size(), 24 + 6 * 84 + 16u);
}

}  // namespace
}  // namespace shale::snapshot
