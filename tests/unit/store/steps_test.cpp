// Step records, trees and the database under them.
#include "store_fixture.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

namespace shale::store::test {
namespace {

snapshot::Tree small_tree(const std::string& path) {
    snapshot::EntrySpec link;
    link.type = FileType::Symlink;
    link.mode = 0777;
    link.link_target = "target";
    snapshot::TreeBuilder builder;
    builder.put(path, link);
    return builder.finish();
}

class StepTest : public StoreTest {
  protected:
    // A record whose tree and blobs are all in the store.
    StepRecord make_record(Store& store, const std::string& name) {
        StepRecord record;
        record.tree = store.put_tree(small_tree("dir/" + name));
        record.sources = {store.put_blob(as_bytes("base")), store.put_blob(as_bytes(name))};
        record.layer = oci::Descriptor{std::string(oci::media::kLayerZstd),
                                       record.sources.back(),
                                       name.size(),
                                       {{"io.example.key", "value"}},
                                       std::nullopt};
        record.diff_id = codec::sha256("tar of " + name);
        record.created_ns = -1'234'567'890'123;
        record.name = "RUN " + name + std::string("\0\xff", 2);
        record.cost_ms = 4321;
        return record;
    }
    // Runs SQL on the database behind the store's back.
    void sql(const std::string& text) {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open((root() + "/shale.db").c_str(), &database), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
            << sqlite3_errmsg(database);
        sqlite3_close(database);
    }
    const Digest key_ = codec::sha256("key");
};

void expect_equal(const StepRecord& found, const StepRecord& wanted) {
    EXPECT_EQ(found.tree, wanted.tree);
    EXPECT_EQ(found.sources, wanted.sources);
    ASSERT_EQ(found.layer.has_value(), wanted.layer.has_value());
    if (found.layer) {
        EXPECT_EQ(found.layer->digest, wanted.layer->digest);
        EXPECT_EQ(found.layer->size, wanted.layer->size);
        EXPECT_EQ(found.layer->media_type, wanted.layer->media_type);
        EXPECT_EQ(found.layer->annotations, wanted.layer->annotations);
    }
    EXPECT_EQ(found.diff_id, wanted.diff_id);
    EXPECT_EQ(found.created_ns, wanted.created_ns);
    EXPECT_EQ(found.name, wanted.name);
    EXPECT_EQ(found.cost_ms, wanted.cost_ms);
}

TEST_F(StepTest, ARecordComesBackWhole) {
    StepRecord record;
    {
        Store store(root());
        record = make_record(store, "npm");
        EXPECT_FALSE(store.find_step(key_));
        store.put_step(key_, record);
        store.put_step(codec::sha256("other key"), record);
    }
    Store store(root());
    for (const Digest& key : {key_, codec::sha256("other key")}) {
        const auto found = store.find_step(key);
        ASSERT_TRUE(found);
        expect_equal(*found, record);
    }
}

TEST_F(StepTest, ARecordWithoutALayerComesBackToo) {
    Store store(root());
    StepRecord record = make_record(store, "npm");
    record.layer.reset();
    record.diff_id.reset();
    record.sources.clear();
    record.name.clear();
    store.put_step(key_, record);
    expect_equal(store.find_step(key_).value(), record);
}

TEST_F(StepTest, ALaterRecordReplacesAnEarlierOne) {
    Store store(root());
    store.put_step(key_, make_record(store, "first"));
    const StepRecord second = make_record(store, "second");
    store.put_step(key_, second);
    expect_equal(store.find_step(key_).value(), second);
}

TEST_F(StepTest, ARecordWhoseTreeIsGoneIsAMiss) {
    Store store(root());
    const StepRecord record = make_record(store, "npm");
    store.put_step(key_, record);
    std::filesystem::remove(root() + "/trees/" + record.tree.hex());
    EXPECT_FALSE(store.find_step(key_));
}

TEST_F(StepTest, ARecordWithASourceThatIsGoneIsAMiss) {
    Store store(root());
    for (const std::size_t gone : {0u, 1u}) {
        const StepRecord record = make_record(store, "npm");
        store.put_step(key_, record);
        ASSERT_TRUE(store.find_step(key_));
        std::filesystem::remove(store.blob_path(record.sources[gone]));
        EXPECT_FALSE(store.find_step(key_)) << gone;
    }
}

TEST_F(StepTest, ALayerThatIsGoneIsNotReported) {
    Store store(root());
    StepRecord record = make_record(store, "npm");
    record.layer->digest = store.put_blob(as_bytes("another compression of the layer"));
    store.put_step(key_, record);
    std::filesystem::remove(store.blob_path(record.layer->digest));
    const auto found = store.find_step(key_);
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->layer);
    EXPECT_FALSE(found->diff_id);
}

TEST_F(StepTest, ALayerThatWasCutShortIsAsGoodAsGone) {
    Store store(root());
    const auto record = make_record(store, "step");
    store.put_step(key_, record);
    std::filesystem::resize_file(store.blob_path(record.layer->digest), 1);
    EXPECT_FALSE(store.find_step(key_)) << "the contents of the tree are in it";
    auto elsewhere = record;
    elsewhere.sources.pop_back();
    store.put_step(key_, elsewhere);
    const auto found = store.find_step(key_);
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->layer) << "it can be made again";
    EXPECT_FALSE(found->diff_id);
}

TEST_F(StepTest, DamagedRowsAreMisses) {
    Store store(root());
    const StepRecord record = make_record(store, "npm");
    for (const char* damage :
         {"UPDATE steps SET tree = x'00'", "UPDATE steps SET sources = x'0011'",
          "UPDATE steps SET tree = 'text that is no digest'"}) {
        store.put_step(key_, record);
        ASSERT_TRUE(store.find_step(key_));
        sql(damage);
        EXPECT_FALSE(store.find_step(key_)) << damage;
    }
    store.put_step(key_, record);
    sql("UPDATE steps SET layer = '{'");
    ASSERT_TRUE(store.find_step(key_));
    EXPECT_FALSE(store.find_step(key_)->layer);
}

TEST_F(StepTest, ManyThreadsShareOneStore) {
    Store store(root());
    const StepRecord record = make_record(store, "npm");
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 50; ++i) {
                const Digest key = codec::sha256(std::to_string(thread) + "/" + std::to_string(i));
                store.put_step(key, record);
                ASSERT_TRUE(store.find_step(key));
            }
        });
    threads.clear();
    EXPECT_TRUE(store.find_step(codec::sha256("3/49")));
}

// ---------------------------------------------------------------------------------------------

TEST_F(StepTest, DatabasesAreForTheirOwnerOnly) {
    Store store(root());
    struct stat status {};
    ASSERT_EQ(::stat((root() + "/shale.db").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(StepTest, ANewerDatabaseIsUnsupported) {
    { Store store(root()); }
    sql("PRAGMA user_version = 7");
    const std::string text = error_of(ErrorKind::Unsupported, [&] { Store store(root()); });
    EXPECT_NE(text.find("schema 7"), std::string::npos) << text;
    EXPECT_NE(text.find("up to 3"), std::string::npos) << text;
    EXPECT_NE(text.find(root() + "/shale.db"), std::string::npos) << text;
}

TEST_F(StepTest, ADamagedDatabaseSaysThatItMayBeDeleted) {
    Digest manifest;
    {
        Store store(root());
        const TestImage image = put_image(store, {}, {});
        manifest = image.descriptor.digest;
        store.tag(oci::Reference::parse("app:1"), image.descriptor);
    }
    const std::string path = root() + "/shale.db";
    write_file_atomic(path, as_bytes(std::string(8192, 'x')));
    const std::string text = error_of(ErrorKind::Corrupt, [&] { Store store(root()); });
    EXPECT_NE(text.find(path), std::string::npos) << text;
    EXPECT_NE(text.find("delete it"), std::string::npos) << text;
    std::filesystem::remove(path);
    Store store(root());
    EXPECT_EQ(store.resolve(oci::Reference::parse("app:1"))->digest, manifest);
}

// ---------------------------------------------------------------------------------------------

using TreeTest = StoreTest;

TEST_F(TreeTest, ComesBackFromAnotherProcessesStore) {
    Digest digest;
    {
        Store store(root());
        digest = store.put_tree(small_tree("link"));
        EXPECT_EQ(store.put_tree(small_tree("link")), digest);
    }
    Store store(root());
    EXPECT_TRUE(store.has_tree(digest));
    const auto tree = store.tree(digest);
    EXPECT_EQ(tree->digest(), digest);
    EXPECT_NE(tree->find("link"), snapshot::kNoNode);
    EXPECT_EQ(store.tree(digest), tree) << "kept at hand";
}

TEST_F(TreeTest, AbsentIsNotFound) {
    Store store(root());
    const Digest digest = codec::sha256("absent");
    EXPECT_FALSE(store.has_tree(digest));
    const std::string text = error_of(ErrorKind::NotFound, [&] { store.tree(digest); });
    EXPECT_NE(text.find(digest.str()), std::string::npos) << text;
}

TEST_F(TreeTest, ADamagedTreeIsCorruptOnceAndThenAbsent) {
    Digest digest;
    {
        Store store(root());
        digest = store.put_tree(small_tree("link"));
    }
    const std::string path = root() + "/trees/" + digest.hex();
    std::string bytes = read_file(path);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file_atomic(path, as_bytes(bytes));
    Store store(root());
    const std::string text = error_of(ErrorKind::Corrupt, [&] { store.tree(digest); });
    EXPECT_NE(text.find(path), std::string::npos) << text;
    EXPECT_FALSE(store.has_tree(digest));
    store.put_tree(small_tree("link"));
    EXPECT_EQ(store.tree(digest)->digest(), digest);
}

TEST_F(TreeTest, ATreeUnderAnothersNameIsCorrupt) {
    Digest digest, other;
    {
        Store store(root());
        digest = store.put_tree(small_tree("one"));
        other = store.put_tree(small_tree("two"));
    }
    std::filesystem::rename(root() + "/trees/" + other.hex(), root() + "/trees/" + digest.hex());
    Store store(root());
    const std::string text = error_of(ErrorKind::Corrupt, [&] { store.tree(digest); });
    EXPECT_NE(text.find(other.str()), std::string::npos) << text;
}

}  // namespace
}  // namespace shale::store::test
