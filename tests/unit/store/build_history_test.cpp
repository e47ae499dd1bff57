// The history of builds: what is kept, what goes first, and that no damage is worse than an empty
// history.
#include "sqlite.hpp"
#include "store_fixture.hpp"

#include <shale/build_history.hpp>
#include <shale/snapshot_file.hpp>

#include <unistd.h>

#include <thread>

namespace shale::store::test {
namespace {

class BuildHistoryTest : public StoreTest {
  protected:
    BuildHistoryTest() : store_(root()) {}

    static BuildRow row(int number, std::size_t bytes = 10) {
        return {"build" + std::to_string(number), number, std::string(bytes, 'd')};
    }
    static snapshot::Tree tree(const std::string& name) {
        snapshot::TreeBuilder builder;
        snapshot::EntrySpec spec;
        spec.type = FileType::Regular;
        builder.put(name, spec);
        return builder.finish();
    }
    static std::vector<std::string> ids(BuildHistory& history) {
        std::vector<std::string> out;
        for (const auto& build : history.list())
            out.push_back(build.id);
        return out;
    }

    Store store_;
};

TEST_F(BuildHistoryTest, WhatWasPutIsFoundByAnotherProcess) {
    const auto one = tree("one");
    BuildHistory(store_).put(row(1), {{3, "printed\n"}}, {&one});
    BuildHistory history(store_);
    ASSERT_TRUE(history.find("build1"));
    EXPECT_EQ(history.find("build1")->document, row(1).document);
    EXPECT_EQ(history.log("build1", 3), "printed\n");
    EXPECT_FALSE(history.log("build1", 4));
    EXPECT_EQ(history.tree(one.digest())->digest(), one.digest());
    EXPECT_FALSE(history.find("build2"));
    EXPECT_EQ(history.tree(tree("two").digest()), nullptr);
}

TEST_F(BuildHistoryTest, ListIsNewestFirst) {
    BuildHistory history(store_);
    for (const int number : {2, 3, 1})
        history.put(row(number), {}, {});
    EXPECT_EQ(ids(history), (std::vector<std::string>{"build3", "build2", "build1"}));
    EXPECT_EQ(history.list(1).size(), 1u);
}

TEST_F(BuildHistoryTest, OldestGoBeyondTheNumber) {
    BuildHistory history(store_, {.most_builds = 2});
    for (int number = 1; number <= 4; ++number)
        history.put(row(number), {{1, "log"}}, {});
    EXPECT_EQ(ids(history), (std::vector<std::string>{"build4", "build3"}));
    EXPECT_FALSE(history.log("build1", 1));
}

TEST_F(BuildHistoryTest, OldestGoBeyondTheBytesButNeverTheLast) {
    BuildHistory history(store_, {.most_bytes = 1});
    history.put(row(1), {}, {});
    history.put(row(2), {{1, std::string(100'000, 'x')}}, {});
    EXPECT_EQ(ids(history), std::vector<std::string>{"build2"});
}

TEST_F(BuildHistoryTest, TreeStaysAsLongAsABuildHasIt) {
    BuildHistory history(store_);
    const auto shared = tree("shared");
    history.put(row(1), {}, {&shared});
    history.put(row(2), {}, {&shared});
    EXPECT_TRUE(history.forget("build1"));
    EXPECT_NE(history.tree(shared.digest()), nullptr);
    EXPECT_TRUE(history.forget("build2"));
    EXPECT_EQ(history.tree(shared.digest()), nullptr);
    EXPECT_FALSE(history.forget("build2"));
}

// A tree of many files, of which one has another mode.
snapshot::Tree large_tree(int changed) {
    snapshot::TreeBuilder builder;
    for (int i = 0; i < 20'000; ++i) {
        snapshot::EntrySpec spec;
        spec.type = FileType::Regular;
        spec.mode = i == changed ? 0600 : 0644;
        spec.size = 1;
        spec.content = codec::sha256(std::to_string(i));
        builder.put("directory/file" + std::to_string(i), spec);
    }
    return builder.finish();
}

TEST_F(BuildHistoryTest, TreesThatDifferInOneFileShareTheirPieces) {
    const auto first = large_tree(-1), second = large_tree(15'000);
    BuildHistory history(store_);
    history.put(row(1), {}, {&first});
    const auto pieces = [&] {
        SqliteConnection file(root() + "/builds.db", 1000);
        SqliteStatement count(file, "SELECT count(*) FROM pieces");
        return count.step() ? count.integer(0) : -1;
    };
    const auto before = pieces();
    ASSERT_GT(before, 30);
    history.put(row(2), {}, {&second});
    const auto both = pieces();
    EXPECT_LT(both, before + 12);
    EXPECT_EQ(history.tree(second.digest())->serialise(), second.serialise());
    EXPECT_TRUE(history.forget("build1"));
    EXPECT_EQ(history.tree(first.digest()), nullptr);
    EXPECT_EQ(history.tree(second.digest())->serialise(), second.serialise());
    EXPECT_LT(pieces(), both);
    EXPECT_TRUE(history.forget("build2"));
    EXPECT_EQ(pieces(), 0);
}

TEST_F(BuildHistoryTest, ATreeBeyondTheLimitLeavesNoPieces) {
    const auto tree = large_tree(-1);
    BuildHistory history(store_, {.most_tree_bytes = 1 << 20});
    history.put(row(1), {}, {&tree});
    EXPECT_EQ(history.tree(tree.digest()), nullptr);
    SqliteConnection file(root() + "/builds.db", 1000);
    SqliteStatement count(file, "SELECT count(*) FROM pieces");
    ASSERT_TRUE(count.step());
    EXPECT_EQ(count.integer(0), 0);
}

TEST_F(BuildHistoryTest, WritersAtOnceLeaveNoTreeWithoutItsPieces) {
    std::vector<snapshot::Tree> trees;
    for (int changed = 0; changed < 6; ++changed)
        trees.push_back(large_tree(changed * 3000));
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 3; ++thread)
            threads.emplace_back([&, thread] {
                BuildHistory history(store_, {.most_builds = 2});
                for (int round = 0; round < 6; ++round)
                    history.put(row(thread * 100 + round), {},
                                {&trees[static_cast<std::size_t>((thread * 2 + round) % 6)]});
            });
    }
    BuildHistory history(store_);
    std::size_t found = 0;
    for (const auto& tree : trees) {
        SqliteConnection file(root() + "/builds.db", 1000);
        SqliteStatement rows(file, "SELECT count(*) FROM trees WHERE digest = ?1");
        rows.bind_blob(1, std::as_bytes(std::span(tree.digest().bytes)));
        ASSERT_TRUE(rows.step());
        if (rows.integer(0) == 0) continue;
        ++found;
        EXPECT_NE(history.tree(tree.digest()), nullptr);
    }
    EXPECT_GE(found, 1u);
}

TEST_F(BuildHistoryTest, ATreeThatLacksAPieceIsNotThere) {
    const auto tree = large_tree(-1);
    BuildHistory(store_).put(row(1), {}, {&tree});
    {
        SqliteConnection file(root() + "/builds.db", 1000);
        file.run("DELETE FROM pieces WHERE digest = (SELECT digest FROM pieces LIMIT 1)");
    }
    EXPECT_EQ(BuildHistory(store_).tree(tree.digest()), nullptr);
    BuildHistory(store_).put(row(2), {}, {&tree});
    EXPECT_NE(BuildHistory(store_).tree(tree.digest()), nullptr) << "the next build mends it";
}

// An edit of a tree that is large enough to be shared.
snapshot::Tree edited(const snapshot::Tree& tree, int file) {
    snapshot::TreeBuilder builder(tree);
    builder.put("directory/file" + std::to_string(file), {});
    return builder.finish();
}

class PatchedHistoryTest : public BuildHistoryTest {
  protected:
    std::int64_t number(const std::string& query) {
        SqliteConnection file(root() + "/builds.db", 1000);
        SqliteStatement statement(file, query.c_str());
        return statement.step() ? statement.integer(0) : -1;
    }
    void run(const std::string& text) {
        SqliteConnection file(root() + "/builds.db", 1000);
        file.run(text.c_str());
    }
    void expect_both() {
        for (const auto* tree : {&first_, &second_}) {
            const auto found = BuildHistory(store_).tree(tree->digest());
            ASSERT_NE(found, nullptr);
            EXPECT_EQ(found->serialise(), tree->serialise());
        }
    }

    const snapshot::Tree base_ = large_tree(-1);
    const snapshot::Tree first_ = edited(base_, 1), second_ = edited(first_, 2);
};

TEST_F(PatchedHistoryTest, APatchIsKeptWithItsBase) {
    ASSERT_EQ(snapshot::base_of(second_), base_.digest());
    BuildHistory history(store_);
    history.put(row(1), {}, {&first_});  // and so the base
    const auto pieces = number("SELECT count(*) FROM pieces");
    EXPECT_EQ(number("SELECT count(*) FROM trees"), 2);
    history.put(row(2), {}, {&second_, &first_});
    EXPECT_EQ(number("SELECT count(*) FROM trees"), 3);
    EXPECT_LE(number("SELECT count(*) FROM pieces"), pieces + 1);
    EXPECT_LT(number("SELECT max(bytes) FROM trees WHERE base IS NOT NULL"), 2000);
    expect_both();
}

TEST_F(PatchedHistoryTest, TheBaseStaysAsLongAsABuildNeedsIt) {
    BuildHistory history(store_);
    history.put(row(1), {}, {&base_});
    history.put(row(2), {}, {&first_});
    // As another program has it: the tree by itself, of which the patch is known here.
    const auto whole = snapshot::Tree::parse(as_bytes(first_.serialise()));
    history.put(row(3), {}, {&whole});
    EXPECT_TRUE(history.forget("build1"));
    EXPECT_TRUE(history.forget("build2"));
    ASSERT_NE(history.tree(first_.digest()), nullptr);
    EXPECT_EQ(history.tree(first_.digest())->serialise(), first_.serialise());
    EXPECT_TRUE(history.forget("build3"));
    EXPECT_EQ(number("SELECT count(*) FROM pieces"), 0);
}

// A watcher that begins again walks the whole directory; what was a patch is now what others stand
// on.
TEST_F(PatchedHistoryTest, WhatWasAPatchBecomesABase) {
    BuildHistory(store_).put(row(1), {}, {&first_});
    const auto whole = snapshot::Tree::parse(as_bytes(first_.serialise()));
    const auto next = edited(whole, 7);
    ASSERT_EQ(snapshot::base_of(next), first_.digest());
    BuildHistory(store_).put(row(2), {}, {&next});
    for (const auto* tree : {&next, &first_}) {
        const auto found = BuildHistory(store_).tree(tree->digest());
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(found->serialise(), tree->serialise());
    }
    const auto later = edited(whole, 8);
    BuildHistory(store_).put(row(3), {}, {&second_, &later});  // a patch on the first, and on that
    expect_both();
    EXPECT_NE(BuildHistory(store_).tree(later.digest()), nullptr);
}

TEST_F(PatchedHistoryTest, WithoutItsBaseAPatchIsNotThereUntilItIsMended) {
    BuildHistory(store_).put(row(1), {}, {&first_, &second_});
    run("DELETE FROM trees WHERE base IS NULL");
    EXPECT_EQ(BuildHistory(store_).tree(first_.digest()), nullptr);
    EXPECT_EQ(BuildHistory(store_).tree(second_.digest()), nullptr);
    BuildHistory(store_).put(row(2), {}, {&first_, &second_});
    expect_both();
}

TEST_F(PatchedHistoryTest, APatchOnAPatchOrOnItselfIsNotBelieved) {
    BuildHistory(store_).put(row(1), {}, {&first_, &second_});
    run("UPDATE trees SET base = digest WHERE base IS NOT NULL");
    EXPECT_EQ(BuildHistory(store_).tree(first_.digest()), nullptr);
    EXPECT_EQ(BuildHistory(store_).tree(second_.digest()), nullptr);
    BuildHistory(store_).put(row(2), {}, {&first_, &second_});
    expect_both();
}

TEST_F(PatchedHistoryTest, ABaseBeyondTheLimitLeavesNeither) {
    BuildHistory history(store_, {.most_tree_bytes = 1 << 20});
    history.put(row(1), {}, {&first_});
    EXPECT_EQ(history.tree(first_.digest()), nullptr);
    EXPECT_EQ(number("SELECT count(*) FROM pieces"), 0);
}

TEST_F(BuildHistoryTest, DamagedFileIsAnEmptyHistory) {
    BuildHistory(store_).put(row(1), {}, {});
    for (const std::string suffix : {"-wal", "-shm"})
        ::unlink((root() + "/builds.db" + suffix).c_str());
    write_file_atomic(root() + "/builds.db", as_bytes(std::string(8192, 'x')));
    BuildHistory history(store_);
    EXPECT_TRUE(history.list().empty());
    history.put(row(2), {}, {});
    EXPECT_EQ(ids(history), std::vector<std::string>{"build2"});
}

TEST_F(BuildHistoryTest, DocumentBeyondTheLimitIsRefused) {
    BuildHistory history(store_);
    const auto text = error_of(ErrorKind::Invalid, [&] {
        history.put(row(1, BuildHistory::kMostDocumentBytes + 1), {}, {});
    });
    EXPECT_NE(text.find("build1"), std::string::npos);
}

}  // namespace
}  // namespace shale::store::test
