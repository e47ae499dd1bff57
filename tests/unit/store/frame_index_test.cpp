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
    FrameIndex(store_).put({{key(1), stored}}, {}, 100);
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
    index.put({{key(1), frame("first", 0)}}, {}, 100);
    const auto second = frame("second", 2);
    index.put({{key(1), second}}, {}, 101);
    EXPECT_TRUE(same(*index.find(key(1)), second));
}

TEST_F(FrameIndexTest, FramesOfARemovedBlobAreForgotten) {
    const auto stored = frame("removed", 1);
    FrameIndex(store_).put({{key(1), stored}, {key(2), stored}}, {}, 100);
    ::unlink(store_.blob_path(stored.blob).c_str());
    Store fresh(root());  // has not opened the blob before
    FrameIndex index(fresh);
    EXPECT_FALSE(index.find(key(1)));
    store_.put_blob(as_bytes("removed"));  // its rows are gone all the same
    EXPECT_FALSE(index.find(key(2)));
}

TEST_F(FrameIndexTest, RowsUnusedForAMonthGo) {
    FrameIndex index(store_);
    index.put({{key(1), frame("old", 0)}}, {}, 100);
    index.put({{key(2), frame("new", 0)}}, {}, 100 + FrameIndex::kKeepDays);
    EXPECT_TRUE(index.find(key(1)));
    index.put({{key(3), frame("newer", 0)}}, {}, 101 + FrameIndex::kKeepDays);
    EXPECT_FALSE(index.find(key(1)));
    EXPECT_TRUE(index.find(key(2)));
}

TEST_F(FrameIndexTest, LongestUnusedRowsGoBeyondTheLimit) {
    FrameIndex index(store_, 3);
    for (int i = 0; i < 5; ++i)
        index.put({{key(i), frame("blob", i)}}, {}, 100 + i);
    EXPECT_FALSE(index.find(key(0)));
    EXPECT_FALSE(index.find(key(1)));
    for (int i = 2; i < 5; ++i)
        EXPECT_TRUE(index.find(key(i))) << i;
}

TEST_F(FrameIndexTest, DamagedRowIsUnknown) {
    FrameIndex(store_).put({{key(1), frame("blob", 0)}}, {}, 100);
    {
        SqliteConnection raw(path(), 1000);
        raw.run("UPDATE frames SET record = substr(record, 1, 3) || x'07' || substr(record, 5)");
    }
    EXPECT_FALSE(FrameIndex(store_).find(key(1)));
}

TEST_F(FrameIndexTest, SectionsComeBackAsTheyWere) {
    layer::StoredSection section;
    section.nodes = key(10);
    section.next = key(11);
    section.text = key(12);
    section.digests = key(13);
    section.text_bytes = 700'000;
    section.gap_behind = 1024;
    section.directory_bytes = 5;
    section.group_bytes = 6;
    section.groups = {{key(20), 4096, 3, false}, {key(21), 8192, 1, true}};
    section.gaps = {{0, 1024}, {7, 1536}};
    FrameIndex(store_).put({}, {{key(1), section}}, 100);
    const auto found = FrameIndex(store_).find_section(key(1));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->nodes, section.nodes);
    EXPECT_EQ(found->next, section.next);
    EXPECT_EQ(found->text, section.text);
    EXPECT_EQ(found->digests, section.digests);
    EXPECT_EQ(found->text_bytes, section.text_bytes);
    EXPECT_EQ(found->gap_behind, section.gap_behind);
    EXPECT_EQ(found->directory_bytes, section.directory_bytes);
    EXPECT_EQ(found->group_bytes, section.group_bytes);
    ASSERT_EQ(found->groups.size(), 2u);
    EXPECT_EQ(found->groups[1].key, key(21));
    EXPECT_EQ(found->groups[1].tar_bytes, 8192u);
    EXPECT_EQ(found->groups[1].members, 1u);
    EXPECT_FALSE(found->groups[0].ends_in_large);
    EXPECT_TRUE(found->groups[1].ends_in_large);
    ASSERT_EQ(found->gaps.size(), 2u);
    EXPECT_EQ(found->gaps[1].content, 7u);
    EXPECT_EQ(found->gaps[1].bytes, 1536u);
    EXPECT_FALSE(FrameIndex(store_).find_section(key(2)));
    EXPECT_FALSE(FrameIndex(store_).find(key(1)));
}

// Whatever part of a row is lost or altered, the row is none.
TEST_F(FrameIndexTest, DamagedSectionIsUnknown) {
    layer::StoredSection section;
    section.groups = {{key(20), 4096, 3, false}};
    section.gaps = {{0, 1024}};
    const auto is_found_after = [&](const std::string& change) {
        FrameIndex(store_).put({}, {{key(1), section}}, 100);
        SqliteConnection(path(), 1000).run("UPDATE sections SET record = " + change);
        return FrameIndex(store_).find_section(key(1)).has_value();
    };
    EXPECT_TRUE(is_found_after("record"));
    EXPECT_FALSE(is_found_after("x''"));
    EXPECT_FALSE(is_found_after("substr(record, 1, length(record) - 1)"));
    EXPECT_FALSE(is_found_after("record || x'00'"));
    for (const int at : {1, 130, 160, 165, 170, 210, 222, 230})
        EXPECT_FALSE(is_found_after("substr(record, 1, " + std::to_string(at) +
                                    ") || x'07' || substr(record, " + std::to_string(at + 2) + ")"))
            << at;
    // A count that would have it read beyond its end, or take a very long time.
    EXPECT_FALSE(is_found_after("substr(record, 1, 160) || x'ffffffff' || substr(record, 165)"));
}

TEST_F(FrameIndexTest, SectionsUnusedForAMonthGo) {
    FrameIndex index(store_, 2);
    index.put({}, {{key(1), {}}}, 100);
    index.put({}, {{key(2), {}}}, 101 + FrameIndex::kKeepDays);
    EXPECT_FALSE(index.find_section(key(1)));
    EXPECT_TRUE(index.find_section(key(2)));
    index.put({}, {{key(3), {}}, {key(4), {}}}, 102 + FrameIndex::kKeepDays);
    EXPECT_FALSE(index.find_section(key(2)));
    EXPECT_TRUE(index.find_section(key(4)));
}

TEST_F(FrameIndexTest, DamagedFileAndOneOfAnotherVersionAreMadeAnew) {
    write_file_atomic(path(), as_bytes(std::string(5000, 'x')));
    {
        FrameIndex index(store_);
        EXPECT_FALSE(index.find(key(1)));
        index.put({{key(1), frame("blob", 0)}}, {}, 100);
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
    FrameIndex(store_).put(rows, {}, 100);
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
    index.put(rows, {}, 100);
    EXPECT_TRUE(index.find(key(1)));
    damage();
    FrameIndex other(store_);
    other.put(rows, {}, 100);  // gives up what it cannot read
    other.put(rows, {}, 100);
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
