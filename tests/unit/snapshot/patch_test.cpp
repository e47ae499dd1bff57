// Trees that share what an edit left alone: they must be what copies are, in memory and on disk.
#include "../../support/tree_generator.hpp"
#include "patch_fixture.hpp"

#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace shale::snapshot {
namespace {

using testing::Item;
using testing::Model;
using testing::TreeGenerator;

TEST_F(PatchTest, AnEditOfALargeTreeSharesItAndOneOfASmallTreeDoesNot) {
    const Tree base = ten_by_ten();
    const auto edit = [&] {
        TreeBuilder builder(base);
        builder.put("d3/f3", file_of(9, "new"));
        return builder.finish();
    };
    const Tree shared = edit();
    EXPECT_EQ(base_of(shared), base.digest());
    set_least_shared(base.size() + 1);
    const Tree copied = edit();
    EXPECT_FALSE(base_of(copied));
    EXPECT_FALSE(base_of(base));
    expect_same(shared, copied);
}

TEST_F(PatchTest, TheBaseMayGoFirst) {
    std::optional<Tree> base = ten_by_ten();
    TreeBuilder builder(*base);
    builder.remove("d5");
    const Tree edited = builder.finish();
    ASSERT_TRUE(base_of(edited));
    base.reset();
    EXPECT_EQ(edited.find("d5"), kNoNode);
    EXPECT_NE(edited.find("d6/f9"), kNoNode);
    EXPECT_EQ(edited.path(edited.find("d6/f9")), "d6/f9");
    EXPECT_EQ(edited.size(), 100u);
}

TEST_F(PatchTest, PatchesOnPatchesStandOnTheFirstTree) {
    const Tree base = ten_by_ten();
    Tree tree = copy_of(base);
    TreeBuilder start(base);
    start.put("d0/new", file_of(0, ""));
    tree = start.finish();
    for (int round = 0; round < 5; ++round) {
        TreeBuilder builder(tree);
        builder.put("d" + std::to_string(round) + "/f1", file_of(7, std::to_string(round)));
        builder.remove("d" + std::to_string(9 - round) + "/f2");
        Tree next = builder.finish();
        ASSERT_EQ(base_of(next), base.digest()) << round;
        expect_same(next, copy_of(next));
        tree = std::move(next);
    }
    EXPECT_EQ(tree.entry(tree.find("d2/f1")).size, 7u);
    EXPECT_EQ(tree.find("d8/f2"), kNoNode);
    EXPECT_NE(tree.find("d0/new"), kNoNode);
}

TEST_F(PatchTest, WhatWouldBeMostlyItsOwnIsCopied) {
    const Tree base = ten_by_ten();
    TreeBuilder builder(base);
    for (int d = 0; d < 10; ++d)
        for (int f = 0; f < 4; ++f)
            builder.put("d" + std::to_string(d) + "/f" + std::to_string(f), file_of(2, "x"));
    const Tree edited = builder.finish();
    EXPECT_FALSE(base_of(edited));
    expect_same(edited, copy_of(edited));
}

// The digest of a hard link covers the paths of all: none may be lost without the others noticing.
TEST_F(PatchTest, HardLinksThatAreTouchedPreventIt) {
    const Tree base = ten_by_ten([](TreeBuilder& builder) {
        EntrySpec linked = file_of(3, "linked");
        linked.link_group = 1;
        builder.put("d1/link", linked);
        builder.put("d2/link", linked);
        builder.put("d3/link", linked);
    });
    const auto edited = [&](const std::function<void(TreeBuilder&)>& edit) {
        TreeBuilder builder(base);
        edit(builder);
        Tree tree = builder.finish();
        expect_same(tree, copy_of(tree));
        return tree;
    };
    EXPECT_TRUE(base_of(edited([](auto& b) { b.put("d1/f1", file_of(9, "new")); })));
    EXPECT_FALSE(base_of(edited([](auto& b) { b.remove("d2"); })));
    EXPECT_FALSE(base_of(edited([](auto& b) { b.put("d3/link", file_of(4, "own")); })));
    EXPECT_FALSE(base_of(edited([](auto& b) {
        EntrySpec spec = file_of(1, "00");
        spec.link_group = 77;
        b.put("d0/f0", spec);
        b.put("d0/f1", spec);
    })));
}

TEST_F(PatchTest, ADirectoryOfTheBaseInAnotherPlaceIsCopied) {
    const Tree base = ten_by_ten();
    TreeBuilder builder(base);
    builder.put_subtree("moved", base, base.find("d4"));
    builder.remove("d4");
    const Tree edited = builder.finish();
    EXPECT_FALSE(base_of(edited));
    expect_same(edited, copy_of(edited));
}

TEST_F(PatchTest, WhatIsLaidInFromAnotherTreeBecomesItsOwn) {
    const Tree base = ten_by_ten();
    TreeBuilder other;
    EntrySpec file = file_of(5, "other");
    file.mtime_ns = kNsPerSecond + 1;
    file.xattrs = {{"user.a", "1"}};
    other.put("x/y/file", file);
    EntrySpec link;
    link.type = FileType::Symlink;
    link.link_target = "y/file";
    other.put("x/link", link);
    const Tree laid = other.finish();
    TreeBuilder builder(base);
    builder.use_whole_seconds();
    builder.put_subtree("d4/in", laid, laid.find("x"));
    const Tree edited = builder.finish();
    EXPECT_EQ(base_of(edited), base.digest());
    expect_same(edited, copy_of(edited));
    EXPECT_EQ(edited.entry(edited.find("d4/in/y/file")).mtime_ns, kNsPerSecond);
}

// Makes `tree` what `after` describes, hard links aside where nothing else differs: put again,
// they would keep anything from being shared.
Tree edited_into(const Tree& tree, const Model& after) {
    TreeBuilder builder(tree);
    for (NodeId node = 1; node < tree.size(); ++node)
        if (!after.contains(tree.path(node))) builder.remove(tree.path(node));
    for (const auto& [path, item] : after) {
        EntrySpec spec = item.spec;
        if (spec.link_group) spec.link_group += 1000;
        const auto old = builder.get(path);
        EntrySpec same = spec;
        if (old) same.link_group = old->link_group;
        if (!old || *old != same) builder.put(path, spec);
    }
    return builder.finish();
}

TEST_F(PatchTest, RandomEditsGiveWhatTheyGiveInACopy) {
    TreeGenerator generator(testing::seed_for_test(41), {.entries = 120, .max_content = 60});
    int shared = 0;
    for (int round = 0; round < 60; ++round) {
        Model model = generator.tree();
        Tree tree = tree_of(model);
        for (int edit = 0; edit < 4; ++edit) {
            generator.mutate(model, 1 + static_cast<unsigned>(generator.below(3)));
            set_least_shared(kLeastShared);
            const Tree copied = edited_into(tree, model);
            set_least_shared(2);
            Tree next = edited_into(tree, model);
            ASSERT_FALSE(base_of(copied));
            shared += base_of(next).has_value() ? 1 : 0;
            ASSERT_NO_FATAL_FAILURE(expect_same(next, copied)) << round << " " << edit;
            tree = std::move(next);
        }
    }
    EXPECT_GT(shared, 40);
}

class PatchFileTest : public PatchTest {
  protected:
    PatchFileTest() {
        TreeBuilder builder(base);
        builder.put("d3/f3", file_of(9, "new"));
        EntrySpec link;
        link.type = FileType::Symlink;
        link.link_target = "f3";
        link.xattrs = {{"trusted.x", "y"}};
        builder.put("d3/link", link);
        builder.put("e/deep/er", file_of(2, "er"));
        builder.remove("d7/f0");
        tree.emplace(builder.finish());
        bytes = serialise_patch(*tree);
    }
    const Tree base = ten_by_ten();
    std::optional<Tree> tree;
    std::string bytes;
};

TEST_F(PatchFileTest, ComesBackAsItWas) {
    expect_same(parse_patch(as_bytes(bytes), base), *tree);
    EXPECT_LT(bytes.size(), base.serialise().size() / 2);
    const TempDir directory;
    const std::string path = join_path(directory.path(), "base");
    write_file_atomic(path, as_bytes(base.serialise()));
    const Tree mapped = open_tree(path);
    expect_same(parse_patch(as_bytes(bytes), mapped), *tree);
    EXPECT_EQ(base_of_patch_file(path), std::nullopt);
    write_file_atomic(path + ".patch", as_bytes(bytes));
    EXPECT_EQ(base_of_patch_file(path + ".patch"), base.digest());
    EXPECT_FALSE(is_snapshot_file(path + ".patch"));
    EXPECT_EQ(base_of_patch_file(directory.path() + "/none"), std::nullopt);
}

TEST_F(PatchFileTest, IsRefusedOnAnotherBase) {
    const Tree other = ten_by_ten([](TreeBuilder& b) { b.remove("d9"); });
    EXPECT_THROW(parse_patch(as_bytes(bytes), other), Error);
    EXPECT_THROW(parse_patch(as_bytes(bytes), *tree), Error);
}

TEST_F(PatchFileTest, NoByteCanChangeAndNoneBeMissing) {
    for (std::size_t at = 0; at < bytes.size(); at += 1 + at % 7) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
        EXPECT_THROW(parse_patch(as_bytes(damaged), base), Error) << at;
        EXPECT_THROW(parse_patch(as_bytes(bytes).first(at), base), Error) << at;
    }
}

// With the checksum put right, as a forger would.
TEST_F(PatchFileTest, AForgedOneIsRefusedOrIsAWellFormedTree) {
    int refused = 0;
    for (std::size_t at = 0; at + 16 < bytes.size(); ++at)
        for (const char bit : {'\x01', '\x40'}) {
            std::string forged = bytes.substr(0, bytes.size() - 16);
            forged[at] = static_cast<char>(forged[at] ^ bit);
            const auto sum = codec::xxh3_128(as_bytes(forged));
            put_little(forged, sum.low);
            put_little(forged, sum.high);
            try {
                const Tree found = parse_patch(as_bytes(forged), base);
                for (NodeId node = 0; node < found.size(); ++node)
                    ASSERT_EQ(found.find(found.path(node)), node) << at;
            } catch (const Error& error) {
                ++refused;
                EXPECT_TRUE(error.kind() == ErrorKind::Corrupt ||
                            error.kind() == ErrorKind::Unsupported)
                    << at << ": " << error.what();
            }
        }
    EXPECT_GT(refused, 1000);
}

TEST_F(PatchTest, ManyThreadsMayReadOne) {
    const Tree base = ten_by_ten();
    TreeBuilder builder(base);
    builder.put("d3/f3", file_of(9, "new"));
    const Tree tree = builder.finish();
    const Digest key = copy_of(tree).key_digest(kRoot);
    std::vector<std::thread> threads;
    std::atomic<int> agreed = 0;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] { agreed += tree.key_digest(kRoot) == key ? 1 : 0; });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(agreed, 8);
}

}  // namespace
}  // namespace shale::snapshot
