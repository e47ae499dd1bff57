// Trees that are kept as patches on others: written small, read back whole, and never without what
// they stand on.
#include "store_fixture.hpp"

#include <shale/snapshot_file.hpp>

#include <sys/stat.h>

namespace shale::store::test {
namespace {

using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr std::size_t kFiles = 100;
constexpr std::chrono::milliseconds kPatience{5000};

class PatchedTrees : public StoreTest {
  protected:
    PatchedTrees() { snapshot::set_least_shared(50); }
    ~PatchedTrees() override { snapshot::set_least_shared(snapshot::kLeastShared); }

    static Tree large_tree() {
        TreeBuilder builder;
        for (std::size_t at = 0; at < kFiles; ++at)
            builder.put("f" + std::to_string(at), file_of("content"));
        return builder.finish();
    }
    static snapshot::EntrySpec file_of(const std::string& content) {
        snapshot::EntrySpec spec;
        spec.type = FileType::Regular;
        spec.size = content.size();
        spec.content = codec::sha256(content);
        return spec;
    }
    static Tree edited(const Tree& base, const std::string& name) {
        TreeBuilder builder(base);
        builder.put(name, file_of(name));
        return builder.finish();
    }
    std::string path_of(const Digest& tree) const { return root() + "/trees/" + tree.hex(); }
    std::uint64_t bytes_of(const Digest& tree) const {
        struct stat status {};
        return ::stat(path_of(tree).c_str(), &status) == 0
                   ? static_cast<std::uint64_t>(status.st_size)
                   : 0;
    }
    void put_step(Store& store, const Digest& tree) const {
        StepRecord record;
        record.tree = tree;
        record.name = tree.hex();
        store.put_step(codec::sha256(tree.hex()), record);
    }
    static CollectOptions only(const Digest& tree) {
        CollectOptions options;
        options.may_remove = [tree](const CacheRecord& record) {
            return record.name == tree.hex();
        };
        return options;
    }
};

TEST_F(PatchedTrees, AreSmallAndComeBackWhole) {
    Digest base, first, second;
    {
        Store store(root());
        const Tree large = large_tree();
        base = store.put_tree(large);
        const Tree once = edited(large, "new");
        first = store.put_tree(once);
        second = store.put_tree(edited(once, "newer"));
    }
    EXPECT_GT(bytes_of(base), kFiles * 100);
    EXPECT_LT(bytes_of(first), 1000u);
    EXPECT_LT(bytes_of(second), 1000u);
    Store store(root());
    const auto tree = store.tree(second);
    EXPECT_EQ(tree->digest(), second);
    EXPECT_EQ(tree->size(), kFiles + 3);
    EXPECT_NO_THROW(tree->verify_digests());
    EXPECT_EQ(snapshot::base_of(*tree), base);
    // An edit of what was read is a patch on the same tree.
    EXPECT_LT(bytes_of(store.put_tree(edited(*tree, "newest"))), 1000u);
}

TEST_F(PatchedTrees, AreWholeWhereTheBaseIsNotKept) {
    Store store(root());
    const auto digest = store.put_tree(edited(large_tree(), "new"));
    EXPECT_GT(bytes_of(digest), kFiles * 100);
    EXPECT_EQ(store.tree(digest)->size(), kFiles + 2);
}

TEST_F(PatchedTrees, KeepWhatTheyStandOn) {
    Store store(root());
    const Tree large = large_tree();
    const auto base = store.put_tree(large);
    const auto first = store.put_tree(edited(large, "first"));
    const auto second = store.put_tree(edited(large, "second"));
    put_step(store, base);
    put_step(store, first);
    put_step(store, second);

    EXPECT_EQ(store.collect(only(base), kPatience).files, 0u) << "two stand on it";
    EXPECT_EQ(store.usage().unreferenced, 0u);
    EXPECT_TRUE(path_exists(path_of(base)));
    EXPECT_FALSE(store.find_step(codec::sha256(base.hex())));

    EXPECT_EQ(store.collect(only(first), kPatience).files, 1u);
    EXPECT_TRUE(path_exists(path_of(base)));
    {
        Store another(root());
        EXPECT_EQ(another.tree(second)->size(), kFiles + 2);
    }
    const auto last = store.collect(only(second), kPatience);
    EXPECT_EQ(last.files, 2u);
    EXPECT_FALSE(path_exists(path_of(base)));
}

// Whatever took the base away: a patch without it is as good as absent, not an error.
TEST_F(PatchedTrees, AreAbsentWithoutTheirBase) {
    const Tree large = large_tree();
    Store store(root());
    const auto base = store.put_tree(large);
    const auto first = store.put_tree(edited(large, "first"));
    put_step(store, first);
    ASSERT_TRUE(store.find_step(codec::sha256(first.hex())));
    ::unlink(path_of(base).c_str());
    EXPECT_FALSE(store.has_tree(first));
    EXPECT_FALSE(store.find_step(codec::sha256(first.hex())));
    store.put_tree(edited(large, "first"));
    EXPECT_GT(bytes_of(first), kFiles * 100) << "written again, whole";
    EXPECT_EQ(store.tree(first)->size(), kFiles + 2);
}

TEST_F(PatchedTrees, OfImagesKeepTheirBases) {
    Store store(root());
    std::vector<TarFile> files;
    for (std::size_t at = 0; at < kFiles; ++at)
        files.push_back({"f" + std::to_string(at), "content"});
    const auto below = make_tar(files), above = make_tar({{"new", "content"}});
    const auto one = put_image_of_tars(store, {below});
    const auto two = put_image_of_tars(store, {below, above});
    const auto base = store.image_tree(one.manifest, one.config).tree->digest();
    const auto tree = store.image_tree(two.manifest, two.config).tree->digest();
    ASSERT_LT(bytes_of(tree), 1000u);
    store.tag(oci::Reference::parse("two:1"), two.descriptor);
    store.collect({}, kPatience);
    EXPECT_TRUE(path_exists(path_of(base)));
    EXPECT_EQ(Store(root()).tree(tree)->size(), kFiles + 2);
}

TEST_F(PatchedTrees, AreGoneWithADamagedBase) {
    Digest base, first, second;
    const Tree large = large_tree();
    {
        Store store(root());
        base = store.put_tree(large);
        first = store.put_tree(edited(large, "first"));
        second = store.put_tree(edited(large, "second"));
    }
    std::string bytes = read_file(path_of(base));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file_atomic(path_of(base), as_bytes(bytes));
    Store store(root());
    error_of(ErrorKind::Corrupt, [&] { store.tree(first); });
    EXPECT_FALSE(path_exists(path_of(base))) << "found damaged, it is removed";
    EXPECT_FALSE(path_exists(path_of(first)));
    EXPECT_FALSE(store.has_tree(second)) << "a miss, not another error";
    EXPECT_GT(bytes_of(store.put_tree(edited(large, "first"))), kFiles * 100) << "whole now";
    EXPECT_EQ(store.tree(first)->size(), kFiles + 2);
}

}  // namespace
}  // namespace shale::store::test
