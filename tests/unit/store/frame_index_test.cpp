// The index of frames: what is found, what is forgotten, and that no damage is worse than a miss.
#include "sqlite.hpp"
#include "store_fixture.hpp"

#include <shale/frame_index.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace shale::store::test {
namespace {

class FrameIndexTest : public StoreTest {
  protected:
    FrameIndexTest() : store_(root()) {}

    std::string path() const { return root() + "/frame-index.db"; }
    static Digest key(int number) { return codec::sha256("key " + std::to_string(number)); }
    layer::StoredFrame frame(const std::string& blob_text, int number) {
        layer::StoredFrame stored;
        stored.blob = store_.put_blob(as_bytes(blob_text));
        stored.frame = {static_cast<std::uint64_t>(number), 4, 0, 1000};
        stored.check = codec::xxh3_128(as_bytes(blob_text));
        stored.prefix = key(1000 + number);
        codec::Sha256Stream hash;
        hash.update(as_bytes(blob_text));
        stored.tar_state = hash.save();
        return stored;
    }
    static bool same(const layer::StoredFrame& a, const layer::StoredFrame& b) {
        return a.blob == b.blob && a.frame.blob_offset == b.frame.blob_offset &&
               a.frame.blob_bytes == b.frame.blob_bytes && a.frame.tar_bytes == b.frame.tar_bytes &&
               a.check == b.check && a.prefix == b.prefix && a.tar_state == b.tar_state;
    }

    Store store_;
};

TEST_F(FrameIndexTest, FindsWhatWasPutAlsoAfterReopening) {
    const auto stored = frame("some blob", 5);
    FrameIndex(store_).put({{key(1), stored}}, 100);
    FrameIndex again(store_);
    const auto found = again.find(key(1));
    ASSERT_TRUE(found);
    EXPECT_TRUE(same(*found, stored));
    EXPECT_FALSE(again.find(key(2)));
    std::string bytes(4, '\0');
    again.read(*found, std::as_writable_bytes(std::span(bytes)));
    EXPECT_EQ(bytes, "blob");
}

TEST_F(FrameIndexTest, LaterLayerTakesAFrameOver) {
    FrameIndex index(store_);
    index.put({{key(1), frame("first", 0)}}, 100);
    const auto second = frame("second", 2);
    index.put({{key(1), second}}, 101);
    EXPECT_TRUE(same(*index.find(key(1)), second));
}

TEST_F(FrameIndexTest, FramesOfARemovedBlobAreForgotten) {
    const auto stored = frame("removed", 1);
    FrameIndex(store_).put({{key(1), stored}, {key(2), stored}}, 100);
    ::unlink(store_.blob_path(stored.blob).c_str());
    Store fresh(root());  // has not opened the blob before
    FrameIndex index(fresh);
    EXPECT_FALSE(index.find(key(1)));
    store_.put_blob(as_bytes("removed"));  // its rows are gone all the same
    EXPECT_FALSE(index.find(key(2)));
}

TEST_F(FrameIndexTest, RowsUnusedForAMonthGo) {
    FrameIndex index(store_);
    index.put({{key(1), frame("old", 0)}}, 100);
    index.put({{key(2), frame("new", 0)}}, 100 + FrameIndex::kKeepDays);
    EXPECT_TRUE(index.find(key(1)));
    index.put({{key(3), frame("newer", 0)}}, 101 + FrameIndex::kKeepDays);
    EXPECT_FALSE(index.find(key(1)));
    EXPECT_TRUE(index.find(key(2)));
}

TEST_F(FrameIndexTest, LongestUnusedRowsGoBeyondTheLimit) {
    FrameIndex index(store_, 3);
    for (int i = 0; i < 5; ++i)
        index.put({{key(i), frame("blob", i)}}, 100 + i);
    EXPECT_FALSE(index.find(key(0)));
    EXPECT_FALSE(index.find(key(1)));
    for (int i = 2; i < 5; ++i)
        EXPECT_TRUE(index.find(key(i))) << i;
}

TEST_F(FrameIndexTest, DamagedRowIsUnknown) {
    FrameIndex(store_).put({{key(1), frame("blob", 0)}}, 100);
    {
        SqliteConnection raw(path(), 1000);
        raw.run("UPDATE frames SET record = substr(record, 1, 3) || x'07' || substr(record, 5)");
    }
    EXPECT_FALSE(FrameIndex(store_).find(key(1)));
}

TEST_F(FrameIndexTest, DamagedFileAndOneOfAnotherVersionAreMadeAnew) {
    write_file_atomic(path(), as_bytes(std::string(5000, 'x')));
    {
        FrameIndex index(store_);
        EXPECT_FALSE(index.find(key(1)));
        index.put({{key(1), frame("blob", 0)}}, 100);
        EXPECT_TRUE(index.find(key(1)));
    }
    {
        SqliteConnection raw(path(), 1000);
        raw.run("PRAGMA user_version = 9");
    }
    EXPECT_FALSE(FrameIndex(store_).find(key(1)));
}

TEST_F(FrameIndexTest, DamageBehindTheFirstPageIsMadeAnewToo) {
    std::vector<std::pair<Digest, layer::StoredFrame>> rows;
    for (int i = 0; i < 500; ++i)
        rows.emplace_back(key(i), frame("blob", i));
    FrameIndex(store_).put(rows, 100);
    const auto damage = [&] {  // what a power loss may leave: the header is whole, pages are not
        SqliteConnection(path(), 1000).run("PRAGMA wal_checkpoint(TRUNCATE)");
        std::string bytes = read_file(path());
        ASSERT_GT(bytes.size(), 16384u);
        std::fill(bytes.begin() + 4096, bytes.end(), 'x');
        write_file_atomic(path(), as_bytes(bytes));
        for (const char* suffix : {"-wal", "-shm"})
            ::unlink((path() + suffix).c_str());
    };
    damage();
    FrameIndex index(store_);
    EXPECT_FALSE(index.find(key(1)));
    index.put(rows, 100);
    EXPECT_TRUE(index.find(key(1)));
    damage();
    FrameIndex other(store_);
    other.put(rows, 100);  // gives up what it cannot read
    other.put(rows, 100);
    EXPECT_TRUE(other.find(key(1)));
}

// SQLite does not wait by itself for whoever opens a file first, or closes it last.
TEST(FrameIndexFile, ManyThatOpenAndCloseItAtOnceAllSucceed) {
    const TempDir directory;
    Store store(directory.path() + "/store");
    std::atomic<int> failures = 0;
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < 8; ++number)
            threads.emplace_back([&] {
                try {
                    for (int round = 0; round < 40; ++round)
                        FrameIndex(store).find(codec::sha256("nothing"));
                } catch (const Error& error) {
                    ++failures;
                    ADD_FAILURE() << error.what();
                }
            });
    }
    EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace shale::store::test
