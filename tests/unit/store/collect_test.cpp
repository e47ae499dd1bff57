// Collection: what goes, what stays, in which order, and who keeps it waiting.
#include "store_fixture.hpp"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace shale::store::test {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{5000};
constexpr std::int64_t kHourNs = 3600ll * 1'000'000'000;

bool any_record(const CacheRecord&) {
    return true;
}

snapshot::Tree tree_named(const std::string& name) {
    snapshot::EntrySpec directory;
    directory.type = FileType::Directory;
    directory.mode = 0755;
    snapshot::TreeBuilder builder;
    builder.put(name, directory);
    return builder.finish();
}

// Another process with the store open: `body` runs in it, then it waits to be killed.
class OtherProcess {
  public:
    OtherProcess(const std::string& root, const std::function<void(Store&)>& body) {
        int ends[2];
        if (::pipe(ends) != 0) throw_errno("pipe");
        child_ = ::fork();
        if (child_ == 0) {
            Store store(root);
            body(store);
            ::close(ends[1]);
            ::pause();
            ::_exit(0);
        }
        ::close(ends[1]);
        char byte;
        EXPECT_EQ(::read(ends[0], &byte, 1), 0);  // the end of the pipe: it is where we want it
        ::close(ends[0]);
    }
    ~OtherProcess() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    pid_t pid() const { return child_; }

  private:
    pid_t child_ = -1;
};

class CollectTest : public StoreTest {
  protected:
    // A step on top of `below` with a layer of `kilobytes`.
    StepRecord put_step(Store& store, const std::string& name, const std::vector<Digest>& below,
                        std::int64_t cost_ms, std::size_t kilobytes = 64,
                        std::int64_t age_ns = kHourNs) {
        StepRecord record;
        record.tree = store.put_tree(tree_named(name));
        record.layer = oci::Descriptor{};
        record.layer->media_type = oci::media::kLayerZstd;
        record.layer->digest = store.put_blob(as_bytes(name + std::string(kilobytes << 10, 'x')));
        record.layer->size = name.size() + (kilobytes << 10);
        record.sources = below;
        record.sources.push_back(record.layer->digest);
        record.cost_ms = cost_ms;
        record.created_ns = system_clock().now_ns() - age_ns;
        record.name = name;
        store.put_step(codec::sha256(name), record);
        store.put_step(codec::sha256(name + " by content"), record);
        return record;
    }
    static std::vector<std::string> names(const Collected& collected) {
        std::vector<std::string> out;
        for (const auto& record : collected.records)
            out.push_back(record.name);
        return out;
    }
    static CollectOptions everything() {
        CollectOptions options;
        options.may_remove = any_record;
        options.unnamed_images = true;
        return options;
    }
    using Names = std::vector<std::string>;
};

TEST_F(CollectTest, WhatNobodyRefersToGoesAndImagesStay) {
    Store store(root());
    const auto kept = put_image_of_tars(store, {make_tar({{"a", "kept"}})});
    store.tag(oci::Reference::parse("kept:1"), kept.descriptor);
    const auto lost = put_image_of_tars(store, {make_tar({{"a", "lost"}})});
    store.image_tree(kept.manifest, kept.config);
    store.image_tree(lost.manifest, lost.config);
    ASSERT_EQ(names_in(root() + "/frames").size(), 2u);

    const auto before = store.usage();
    EXPECT_GT(before.unreferenced, 0u);
    const auto collected = store.collect({}, kPatience);
    // Manifest, config, layer, its twin, and the merged tree.
    EXPECT_EQ(collected.files, 5u);
    EXPECT_EQ(collected.bytes, before.unreferenced);
    EXPECT_EQ(store.usage().unreferenced, 0u);
    EXPECT_EQ(store.usage().images, before.images);
    EXPECT_FALSE(store.has_blob(lost.descriptor.digest));
    EXPECT_NE(store.known_tree(kept.config), nullptr);
    EXPECT_EQ(store.known_tree(lost.config), nullptr);
    EXPECT_EQ(store.collect({}, kPatience).files, 0u) << "nothing is left to do";
    Store reopened(root());
    EXPECT_EQ(reopened.image_tree(kept.manifest, kept.config).tree->size(), 2u);
}

TEST_F(CollectTest, AnIndexKeepsAllItListsAndWhatWeCannotReadKeepsWhatItMentions) {
    Store store(root());
    const auto one = put_image_of_tars(store, {make_tar({{"a", "one"}})});
    oci::Index index;
    index.manifests = {one.descriptor};
    const auto listed = put_layer(store, oci::encode(index), oci::media::kIndex);
    store.tag(oci::Reference::parse("multi:1"), listed);
    const auto payload = store.put_blob(as_bytes("a payload of another tool"));
    const auto artifact =
        put_layer(store, "not a manifest, but it says " + payload.str(), "application/vnd.example");
    store.tag(oci::Reference::parse("artifact:1"), artifact);
    EXPECT_EQ(store.collect(everything(), kPatience).files, 0u);
    EXPECT_TRUE(store.has_blob(one.manifest.layers[0].digest));
    EXPECT_TRUE(store.has_blob(payload));
}

TEST_F(CollectTest, RecordsStayUnlessTheyMayGo) {
    Store store(root());
    const auto record = put_step(store, "npm", {}, 1000);
    EXPECT_EQ(store.collect({}, kPatience).files, 0u);
    ASSERT_TRUE(store.find_step(codec::sha256("npm")));

    auto options = everything();
    options.dry_run = true;
    const auto would = store.collect(options, kPatience);
    EXPECT_EQ(names(would), Names{"npm"}) << "two keys, one record";
    EXPECT_TRUE(store.has_blob(record.layer->digest));

    options.dry_run = false;
    const auto did = store.collect(options, kPatience);
    EXPECT_EQ(did.bytes, would.bytes);
    EXPECT_EQ(did.left, would.left);
    EXPECT_FALSE(store.has_blob(record.layer->digest));
    EXPECT_FALSE(store.has_tree(record.tree));
    EXPECT_FALSE(store.find_step(codec::sha256("npm")));
    EXPECT_FALSE(store.find_step(codec::sha256("npm by content")));
}

TEST_F(CollectTest, ARecordThatAnotherStandsOnStaysAsLongAsThat) {
    Store store(root());
    const auto base = put_step(store, "base", {}, 1);
    const auto child = put_step(store, "child", {base.layer->digest}, 1'000'000);
    CollectOptions options;
    options.may_remove = [](const CacheRecord& record) { return record.name == "base"; };
    EXPECT_TRUE(names(store.collect(options, kPatience)).empty());
    options.may_remove = any_record;
    EXPECT_EQ(names(store.collect(options, kPatience)), (Names{"child", "base"}));
    EXPECT_TRUE(names_in(root() + "/blobs/sha256").empty());
}

// A step that changes nothing has the layer of every other such step.
class NoOpSteps : public CollectTest {
  protected:
    StepRecord put_no_op(Store& store, const std::string& name, std::vector<Digest> below) {
        StepRecord record;
        record.layer = oci::Descriptor{};
        record.layer->media_type = oci::media::kLayerZstd;
        const std::string_view layer = "an empty layer";
        record.layer->digest = store.put_blob(as_bytes(layer));
        record.layer->size = layer.size();
        record.tree = store.put_tree(tree_named(name));
        if (std::ranges::find(below, record.layer->digest) == below.end())
            below.push_back(record.layer->digest);
        record.sources = std::move(below);
        record.created_ns = system_clock().now_ns();
        record.name = name;
        store.put_step(codec::sha256(name), record);
        return record;
    }
};

TEST_F(CollectTest, WhatAnImageHoldsIsForgottenOnlyIfThatIsEnough) {
    Store store(root());
    const auto record = put_step(store, "shared", {}, 1000);
    const auto image = put_image(store, {*record.layer}, {codec::sha256("whatever")});
    store.tag(oci::Reference::parse("app:1"), image.descriptor);
    put_step(store, "other", {}, 1'000'000, 4);
    auto options = everything();
    options.max_used = 0;
    EXPECT_EQ(names(store.collect(options, kPatience)), Names{"other"}) << "in vain";
    options.max_used = store.usage().total() - 1;
    EXPECT_EQ(names(store.collect(options, kPatience)), Names{"shared"}) << "its tree";
}

TEST_F(NoOpSteps, AroundARealOneGoToo) {
    Store store(root());
    const auto first = put_no_op(store, "version", {});
    const auto real = put_step(store, "compile", first.sources, 1000);
    put_no_op(store, "tests", real.sources);
    const auto collected = store.collect(everything(), kPatience);
    EXPECT_TRUE(names_in(root() + "/blobs/sha256").empty());
    EXPECT_EQ(store.usage().records.size(), 0u);
    const auto order = names(collected);
    const auto place = [&](const char* name) { return std::ranges::find(order, name); };
    EXPECT_LT(place("tests"), place("compile"));
    EXPECT_LT(place("compile"), place("version"));
}

TEST_F(NoOpSteps, OfAnImageHoldNothingOfOthers) {
    Store store(root());
    const auto kept = put_no_op(store, "kept", {});
    const auto image = put_image(store, {*kept.layer}, {codec::sha256("whatever")});
    store.tag(oci::Reference::parse("kept:1"), image.descriptor);
    const auto other = put_step(store, "other", {}, 1000);
    put_no_op(store, "on other", other.sources);
    for (const auto& record : store.usage().records) {
        const bool is_kept = record.name == "kept";
        EXPECT_EQ(record.shared, is_kept) << record.name;
        EXPECT_EQ(record.held, is_kept) << record.name;
    }
    CollectOptions options;
    options.may_remove = [](const CacheRecord& record) { return !record.held; };
    store.collect(options, kPatience);
    EXPECT_FALSE(store.has_blob(other.layer->digest));
    EXPECT_TRUE(store.find_step(codec::sha256("kept")));
}

TEST_F(CollectTest, UnderALimitTheCheapestForItsBytesAndLongestUnusedGoesFirst) {
    Store store(root());
    put_step(store, "cheap", {}, 10);
    put_step(store, "dear", {}, 100'000);
    put_step(store, "old", {}, 100'000, 64, 40 * 24 * kHourNs);
    put_step(store, "small", {}, 10, 4);
    auto options = everything();
    const auto total = store.usage().total();
    options.max_used = total - 1;
    EXPECT_EQ(names(store.collect(options, kPatience)), Names{"old"});
    options.max_used = total - (100 << 10);
    EXPECT_EQ(names(store.collect(options, kPatience)), Names{"cheap"});
    options.max_used = 0;
    options.reserved = store.usage().total();
    EXPECT_TRUE(names(store.collect(options, kPatience)).empty()) << "the reserve is not touched";
    options.reserved.reset();
    EXPECT_EQ(names(store.collect(options, kPatience)), (Names{"small", "dear"}));
}

TEST_F(CollectTest, AHitMakesARecordYoung) {
    {
        Store store(root());
        put_step(store, "used", {}, 1000, 64, 40 * 24 * kHourNs);
        put_step(store, "unused", {}, 1000, 64, 30 * 24 * kHourNs);
        ASSERT_TRUE(store.find_step(codec::sha256("used")));
    }
    Store store(root());
    const auto usage = store.usage();
    ASSERT_EQ(usage.records.size(), 2u);
    EXPECT_EQ(usage.records[0].name, "used") << "last used first";
    auto options = everything();
    options.max_used = usage.total() - 1;
    EXPECT_EQ(names(store.collect(options, kPatience)), Names{"unused"});
}

TEST_F(CollectTest, ALayerOfAnImageOutlivesItsRecord) {
    Store store(root());
    const auto record = put_step(store, "shared", {}, 1000);
    const auto image = put_image(store, {*record.layer}, {codec::sha256("whatever")});
    store.tag(oci::Reference::parse("app:1"), image.descriptor);
    const auto usage = store.usage();
    ASSERT_EQ(usage.records.size(), 1u);
    EXPECT_TRUE(usage.records[0].shared);
    EXPECT_GE(usage.shared, 64u << 10);
    EXPECT_EQ(names(store.collect(everything(), kPatience)), Names{"shared"});
    EXPECT_TRUE(store.has_blob(record.layer->digest));
}

TEST_F(CollectTest, UnnamedImagesGoOnlyWhenAskedFor) {
    Store store(root());
    const auto image = put_image_of_tars(store, {make_tar({{"a", "nameless"}})});
    store.keep(image.descriptor);
    CollectOptions options;
    EXPECT_EQ(store.collect(options, kPatience).files, 0u);
    options.unnamed_images = true;
    const auto collected = store.collect(options, kPatience);
    ASSERT_EQ(collected.images.size(), 1u);
    EXPECT_EQ(collected.images[0].digest, image.descriptor.digest);
    EXPECT_TRUE(store.unnamed().empty());
    EXPECT_TRUE(names_in(root() + "/blobs/sha256").empty());
}

TEST_F(CollectTest, AStoreInUseIsLeftAloneAndItsUserIsNamed) {
    { Store create(root()); }
    const OtherProcess other(root(), [](Store&) {});
    Store store(root());
    const auto blob = store.put_blob(as_bytes("lost"));
    const std::string text =
        error_of(ErrorKind::Failed, [&] { store.collect({}, milliseconds(50)); });
    EXPECT_NE(text.find("in use by process " + std::to_string(other.pid())), std::string::npos)
        << text;
    EXPECT_TRUE(store.has_blob(blob));
    Store third(root());  // our own lock is shared again
}

TEST_F(CollectTest, AReaderThatPinnedItsLayersDoesNotMindACollection) {
    oci::Descriptor layer;
    {
        Store store(root());
        layer = put_image_of_tars(store, {make_tar({{"a", "mounted"}})}).manifest.layers[0];
    }
    {
        const OtherProcess reader(root(), [&](Store& store) {
            store.toc(layer);
            store.pin({layer.digest});
        });
        Store store(root());
        EXPECT_GT(store.collect(everything(), kPatience).files, 0u) << "manifest and config";
        EXPECT_TRUE(store.has_blob(layer.digest));
        EXPECT_EQ(names_in(root() + "/frames"), Names{layer.digest.hex()});
    }
    Store store(root());
    store.collect(everything(), kPatience);
    EXPECT_FALSE(store.has_blob(layer.digest)) << "the pins of the dead mean nothing";
}

TEST_F(CollectTest, CacheDirectoriesAreRecordsAndGoAsAWhole) {
    Store store(root());
    const auto mount = codec::sha256("mount").hex(), mirror = codec::sha256("mirror").hex();
    const auto mount_path = store.cache_mounts_path() + "/" + mount;
    const auto mirror_path = store.git_mirrors_path() + "/" + mirror;
    const auto stranger = store.cache_mounts_path() + "/not-a-digest";
    for (const auto& path : {mount_path + "/0/deep/er", mirror_path + "/objects", stranger})
        make_directories(path);
    const auto write = [](const std::string& path, const std::string& text) {
        write_file_atomic(path, as_bytes(text));
    };
    write(mount_path + "/about.json", R"({"id": "/root/.npm"})");
    write(mount_path + "/0.lock", "");
    write(mount_path + "/0/deep/er/file", std::string(256 << 10, 'x'));
    write(mirror_path + "/objects/pack", std::string(64 << 10, 'y'));
    write(mirror_path + ".lock", "");

    const auto usage = store.usage();
    EXPECT_GE(usage.cache_mounts, 256u << 10);
    EXPECT_GE(usage.mirrors, 64u << 10);
    ASSERT_EQ(usage.records.size(), 2u);
    auto options = everything();
    options.may_remove = [](const CacheRecord& record) {
        return record.kind == RecordKind::CacheMount;
    };
    const auto collected = store.collect(options, kPatience);
    EXPECT_EQ(names(collected), Names{"cache mount /root/.npm"});
    EXPECT_EQ(collected.bytes, usage.cache_mounts);
    EXPECT_EQ(collected.left, store.usage().total());
    EXPECT_FALSE(path_exists(mount_path));
    EXPECT_TRUE(path_exists(stranger)) << "it is none of ours";
    EXPECT_EQ(names(store.collect(everything(), kPatience)), Names{"git mirror"});
    EXPECT_FALSE(path_exists(mirror_path) || path_exists(mirror_path + ".lock"));
}

TEST_F(CollectTest, ADatabaseOfTheFirstVersionIsBroughtUpToDate) {
    make_directories(root());
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((root() + "/shale.db").c_str(), &database), SQLITE_OK);
    const std::string tree = tree_named("old").digest().hex();
    const std::string text =
        "CREATE TABLE steps(key BLOB PRIMARY KEY, tree BLOB NOT NULL, sources BLOB NOT NULL,"
        " layer BLOB, diff_id BLOB, created_ns INTEGER NOT NULL, name BLOB NOT NULL);"
        "CREATE TABLE chains(chain BLOB PRIMARY KEY, tree BLOB NOT NULL);"
        "CREATE TABLE layers(blob BLOB PRIMARY KEY, diff_id BLOB NOT NULL);"
        "PRAGMA user_version = 1;"
        "INSERT INTO steps VALUES (x'" +
        codec::sha256("old").hex() + "', x'" + tree + "', x'', NULL, NULL, 42, x'414243');";
    ASSERT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);

    Store store(root());
    store.put_tree(tree_named("old"));
    const auto record = store.find_step(codec::sha256("old"));
    ASSERT_TRUE(record);
    EXPECT_EQ(record->name, "ABC");
    EXPECT_EQ(record->cost_ms, 0);
    EXPECT_EQ(names(store.collect(everything(), kPatience)), Names{"ABC"});
}

}  // namespace
}  // namespace shale::store::test
