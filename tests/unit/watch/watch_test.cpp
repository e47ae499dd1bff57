// Watchers of both backends: every change is named, and where it cannot be known that every change
// was, the answer says so. A snapshot taken with a watcher's help equals the one of a full walk.
#include "../../support/tree_generator.hpp"

#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>
#include <shale/watch.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <random>
#include <thread>

namespace shale::watch {
namespace {

void write(const std::string& path, std::string_view text) {
    const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file.get(), as_bytes(text), path);
}

// A file system of its own, so that nobody else's events fill the queue.
class Watched : public ::testing::TestWithParam<Backend> {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "a file system of its own needs root";
        if (::mount("tmpfs", disk_.path().c_str(), "tmpfs", 0, "size=256m") != 0)
            GTEST_SKIP() << "tmpfs: " << std::strerror(errno);
        is_mounted_ = true;
        make_directories(root_);
        try {
            Watcher(root_, options());
        } catch (const Error& error) {
            GTEST_SKIP() << error.what();
        }
    }
    void TearDown() override {
        server_ = {};
        if (is_mounted_) ::umount2(disk_.path().c_str(), MNT_DETACH);
    }

    static Options options() { return {GetParam(), 100'000}; }
    std::string path(const std::string& name) const { return root_ + "/" + name; }

    void serve() {
        std::promise<void> ready;
        server_ = std::jthread([&](const std::stop_token& stop) {
            Watcher(root_, options()).serve(stop, [&] { ready.set_value(); });
        });
        ready.get_future().wait();
    }
    ScanResult scan(snapshot::ScanStats* stats = nullptr) {
        return watch::scan(root_, state_.path(), {}, stats);
    }
    void expect_incremental_and_right(const char* what) {
        const auto result = scan();
        EXPECT_TRUE(result.incremental) << what << ": " << result.why;
        EXPECT_EQ(result.tree.digest(), snapshot::scan(root_).digest()) << what;
    }

    const TempDir disk_, state_;
    const std::string root_ = disk_.path() + "/root";
    bool is_mounted_ = false;
    std::jthread server_;
};

std::vector<std::string> paths_of(const Answer& answer) {
    std::vector<std::string> paths;
    for (const Change& change : answer.changes)
        paths.push_back(change.path + (change.with_subtree ? "/..." : ""));
    return paths;
}

using Paths = std::vector<std::string>;

TEST_P(Watched, EveryKindOfChangeIsNamed) {
    write(path("content"), "1");
    write(path("mode"), "1");
    write(path("xattr"), "1");
    write(path("gone"), "1");
    write(path("from"), "1");
    make_directories(path("dir/inner"));
    Watcher watcher(root_, options());
    Token token = watcher.changes_since({}).now;
    const auto changed = [&] {
        const Answer answer = watcher.changes_since(token);
        EXPECT_TRUE(answer.complete) << answer.why;
        token = answer.now;
        return paths_of(answer);
    };
    EXPECT_EQ(changed(), Paths{});
    write(path("content"), "2");
    EXPECT_EQ(changed(), Paths{"content"});
    EXPECT_EQ(changed(), Paths{});
    ASSERT_EQ(::chmod(path("mode").c_str(), 0600), 0);
    EXPECT_EQ(changed(), Paths{"mode"});
    ASSERT_EQ(::setxattr(path("xattr").c_str(), "trusted.k", "v", 1, 0), 0);
    EXPECT_EQ(changed(), Paths{"xattr"});
    ASSERT_EQ(::unlink(path("gone").c_str()), 0);
    EXPECT_EQ(changed(), (Paths{"", "gone"}));
    ASSERT_EQ(::rename(path("from").c_str(), path("dir/to").c_str()), 0);
    EXPECT_EQ(changed(), (Paths{"", "dir", "dir/to", "from"}));
    ASSERT_EQ(::rename(path("dir").c_str(), path("moved").c_str()), 0);
    EXPECT_EQ(changed(), (Paths{"", "dir", "moved/..."}));
    write(path("moved/inner/new"), "deep");
    EXPECT_EQ(changed(), (Paths{"moved/inner", "moved/inner/new"}));
    ASSERT_EQ(::truncate(path("moved/inner/new").c_str(), 1), 0);
    EXPECT_EQ(changed(), Paths{"moved/inner/new"});
}

TEST_P(Watched, OverflowOfTheQueueIsToldAndWalkedFor) {
    Watcher watcher(root_, options());
    const Token token = watcher.changes_since({}).now;
    for (int at = 0; at < 17'000; ++at)  // more than a queue holds by default
        ASSERT_EQ(::close(::creat(path(std::to_string(at)).c_str(), 0644)), 0);
    const Answer answer = watcher.changes_since(token);
    EXPECT_FALSE(answer.complete);
    EXPECT_NE(answer.why.find("overflow"), std::string::npos) << answer.why;
    write(path("after"), "");
    const Answer next = watcher.changes_since(answer.now);
    EXPECT_TRUE(next.complete) << next.why;
    EXPECT_EQ(paths_of(next), (Paths{"", "after"}));
}

TEST_P(Watched, TokenOfAnotherWatcherIsWorthless) {
    Token token;
    {
        Watcher first(root_, options());
        token = first.changes_since({}).now;
    }
    write(path("missed"), "");
    Watcher second(root_, options());
    EXPECT_FALSE(second.changes_since(token).complete);
}

TEST_P(Watched, MountBelowIsToldUntilItIsGone) {
    make_directories(path("mnt"));
    Watcher watcher(root_, options());
    Token token = watcher.changes_since({}).now;
    ASSERT_EQ(::mount("tmpfs", path("mnt").c_str(), "tmpfs", 0, nullptr), 0);
    write(path("mnt/unseen"), "");
    Answer answer = watcher.changes_since(token);
    EXPECT_FALSE(answer.complete);
    EXPECT_FALSE(watcher.changes_since(answer.now).complete);
    ASSERT_EQ(::umount(path("mnt").c_str()), 0);
    answer = watcher.changes_since(answer.now);
    EXPECT_FALSE(answer.complete);
    EXPECT_TRUE(watcher.changes_since(answer.now).complete);
}

TEST_P(Watched, MovedDirectoryIsTold) {
    Watcher watcher(root_, options());
    const Token token = watcher.changes_since({}).now;
    ASSERT_EQ(::rename(root_.c_str(), (root_ + "2").c_str()), 0);
    make_directories(root_);
    EXPECT_FALSE(watcher.changes_since(token).complete);
}

TEST_P(Watched, SecondWatcherOfADirectoryIsRefused) {
    serve();
    Watcher other(root_, options());
    EXPECT_THROW(other.serve({}), Error);
}

// ---------------------------------------------------------------------------------------------

TEST_P(Watched, SnapshotLooksOnlyAtWhatChanged) {
    for (int at = 0; at < 100; ++at) {
        make_directories(path("d" + std::to_string(at)));
        for (const char* name : {"a", "b", "c"})
            write(path("d" + std::to_string(at) + "/" + name), "same");
    }
    serve();
    const auto base = scan();
    EXPECT_FALSE(base.incremental);
    write(path("d7/b"), "SAME");
    snapshot::set_least_shared(100);
    snapshot::ScanStats stats;
    const auto result = scan(&stats);
    snapshot::set_least_shared(snapshot::kLeastShared);
    EXPECT_EQ(snapshot::base_of(result.tree), base.tree.digest()) << "not copied";
    EXPECT_TRUE(result.incremental) << result.why;
    EXPECT_EQ(result.looked_at, 1u);
    EXPECT_EQ(stats.files_hashed, 1u);
    EXPECT_EQ(stats.walk.directories_opened, 2u);  // the root and d7
    EXPECT_EQ(stats.walk.stat_calls, 3u) << "those and the file, none of their neighbours";
    EXPECT_EQ(result.tree.digest(), snapshot::scan(root_).digest());
}

TEST_P(Watched, ATreeInWhichNothingChangedIsNotLookedAt) {
    for (const char* name : {"a", "b", "c"})
        write(path(name), "same");
    serve();
    const auto base = scan();
    snapshot::ScanStats stats;
    const auto result = scan(&stats);
    EXPECT_TRUE(result.incremental) << result.why;
    EXPECT_EQ(stats.walk.stat_calls, 1u) << "the root";
    EXPECT_EQ(result.tree.digest(), base.tree.digest());
}

TEST_P(Watched, SnapshotWithoutAWatcherOrAfterItsDeathWalks) {
    write(path("f"), "1");
    EXPECT_FALSE(scan().incremental);
    serve();
    EXPECT_FALSE(scan().incremental);  // makes the base
    EXPECT_TRUE(scan().incremental);
    server_ = {};
    write(path("f"), "2");
    const auto dead = scan();
    EXPECT_FALSE(dead.incremental);
    EXPECT_EQ(dead.tree.digest(), snapshot::scan(root_).digest());
    write(path("f"), "3");
    serve();  // as after a reboot: the base's token names another watcher
    const auto reborn = scan();
    EXPECT_FALSE(reborn.incremental);
    EXPECT_EQ(reborn.tree.digest(), snapshot::scan(root_).digest());
    EXPECT_TRUE(scan().incremental);
}

TEST_P(Watched, DamagedBaseIsWalkedFor) {
    write(path("f"), "1");
    serve();
    scan();
    ASSERT_EQ(std::system(("truncate -s 100 " + state_.path() + "/*.snap").c_str()), 0);
    EXPECT_FALSE(scan().incremental);
    EXPECT_TRUE(scan().incremental);
}

TEST_P(Watched, ChangeThroughANameOutsideIsSeen) {
    write(disk_.path() + "/outside", "1");
    ASSERT_EQ(::link((disk_.path() + "/outside").c_str(), path("inside").c_str()), 0);
    serve();
    scan();
    write(disk_.path() + "/outside", "2");
    expect_incremental_and_right("a link from outside");
}

TEST_P(Watched, NewHardLinkIsWalkedForOnce) {
    write(path("a"), "1");
    serve();
    scan();
    ASSERT_EQ(::link(path("a").c_str(), path("b").c_str()), 0);
    const auto result = scan();
    EXPECT_EQ(result.tree.digest(), snapshot::scan(root_).digest());
    EXPECT_FALSE(result.incremental);
    ASSERT_EQ(::unlink(path("b").c_str()), 0);
    expect_incremental_and_right("a link removed");
}

// Random edits of a real tree, snapshots in between.
class Editor {
  public:
    Editor(std::string root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

    void edit() {
        const std::string at = any(), to = fresh();
        switch (random_() % 9) {
        case 0:
        case 1:
            return put(fresh());
        case 2:
            ::mkdir(to.c_str(), 0755);
            return put(to + "/new");
        case 3:
            remove_tree(at);
            return;
        case 4:
            std::ignore = ::rename(at.c_str(), to.c_str());
            return;
        case 5:
            std::ignore = ::chmod(at.c_str(), 0600 + random_() % 64);
            return;
        case 6:
            std::ignore = ::symlink("target", to.c_str());
            return;
        case 7:
            std::ignore = ::link(at.c_str(), to.c_str());
            return;
        default:
            return put(at);
        }
    }

  private:
    std::string name() { return std::string(1, static_cast<char>('a' + random_() % 5)); }
    std::string fresh() {
        std::string path = root_;
        for (auto depth = random_() % 3; depth > 0; --depth)
            path += "/" + name();
        return path + "/" + name();
    }
    std::string any() { return fresh(); }
    void put(const std::string& path) {
        const UniqueFd file(
            ::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
        if (file) write_all(file.get(), as_bytes(std::to_string(random_())), path);
    }

    const std::string root_;
    std::mt19937_64 random_;
};

TEST_P(Watched, IncrementalSnapshotsEqualFullOnes) {
    Editor editor(root_, testing::seed_for_test(31));
    for (int at = 0; at < 40; ++at)
        editor.edit();
    serve();
    scan();
    int incremental = 0;
    for (int round = 0; round < 150; ++round) {
        for (int edits = round % 7; edits > 0; --edits)
            editor.edit();
        const auto result = scan();
        incremental += result.incremental;
        const auto full = snapshot::scan(root_);
        ASSERT_EQ(result.tree.digest(), full.digest()) << "round " << round;
    }
    EXPECT_GT(incremental, 75);
}

// What .dockerignore does: "b" is left out with all below it; with `exceptions`, "c" is left out
// but for what is named "d" below it.
snapshot::ScanOptions filtered(bool exceptions) {
    snapshot::ScanOptions options;
    options.walk.filter = [exceptions](std::string_view path, bool is_directory) {
        const auto name = path.substr(path.rfind('/') + 1);
        if (name == "b") return walk::Decision::Prune;
        if (!exceptions || path.substr(0, path.find('/')) != "c" || name == "d")
            return walk::Decision::Include;
        return is_directory ? walk::Decision::Skip : walk::Decision::Prune;
    };
    return options;
}

TEST_P(Watched, FilteredSnapshotsEqualFullOnes) {
    for (const bool exceptions : {false, true}) {
        const auto options = filtered(exceptions);
        const std::string rules = exceptions ? "b, c but d" : "b";
        const auto look = [&] {
            return watch::scan(root_, state_.path(), options, nullptr, rules);
        };
        Editor editor(root_, testing::seed_for_test(exceptions ? 32 : 33));
        for (int at = 0; at < 40; ++at)
            editor.edit();
        serve();
        look();
        int incremental = 0;
        for (int round = 0; round < 100; ++round) {
            for (int edits = round % 5; edits > 0; --edits)
                editor.edit();
            const auto result = look();
            incremental += result.incremental;
            ASSERT_EQ(result.tree.digest(), snapshot::scan(root_, options).digest())
                << rules << ", round " << round;
        }
        EXPECT_GT(incremental, 20) << rules;
        server_ = {};
    }
}

TEST_P(Watched, SnapshotsUnderOtherRulesAreNotMixedUp) {
    write(path("a"), "1");
    write(path("b"), "2");
    serve();
    const auto look = [&](const snapshot::ScanOptions& options, const std::string& rules) {
        return watch::scan(root_, state_.path(), options, nullptr, rules);
    };
    const auto without_b = filtered(false);
    EXPECT_FALSE(look(without_b, "b").incremental);
    EXPECT_EQ(look(without_b, "b").tree.size(), 2u);
    EXPECT_FALSE(look({}, "").incremental) << "another variant";
    EXPECT_EQ(look({}, "").tree.size(), 3u);
    EXPECT_FALSE(look(without_b, "").incremental) << "a filter without a name";
    write(path("b"), "3");
    const auto left_out = look(without_b, "b");
    EXPECT_TRUE(left_out.incremental) << left_out.why;
    EXPECT_EQ(left_out.tree.size(), 2u);
}

TEST_P(Watched, OldSnapshotsMakeRoom) {
    write(path("a"), "1");
    serve();
    for (int at = 0; at < 20; ++at)
        watch::scan(root_, state_.path(), filtered(false), nullptr, std::to_string(at));
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(state_.path()))
        ++files;
    EXPECT_EQ(files, 16u);  // eight, of two files each
    const auto last = watch::scan(root_, state_.path(), filtered(false), nullptr, "19");
    EXPECT_TRUE(last.incremental) << last.why;
}

// On ext4, a directory whose number is just being given to a new one cannot be opened for a moment,
// and says ENOMEM. The watcher must outlive that. tmpfs never says so, hence the real disk.
TEST(WatchedBesideOthers, DirectoriesThatComeAndGoAreNoEnd) {
    const TempDir disk;
    const std::string root = disk.path() + "/root";
    make_directories(root);
    std::optional<Watcher> watcher;
    try {
        watcher.emplace(root, Options{Backend::Fanotify, 100'000});
    } catch (const Error& error) {
        GTEST_SKIP() << error.what();
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    std::vector<std::jthread> others;
    for (int at = 0; at < 4; ++at)
        others.emplace_back([&, path = disk.path() + "/other" + std::to_string(at)] {
            while (std::chrono::steady_clock::now() < until) {
                make_directories(path);
                write(path + "/file", "");
                std::filesystem::remove_all(path);
            }
        });
    Token token = watcher->changes_since({}).now;
    while (std::chrono::steady_clock::now() < until)
        token = watcher->changes_since(token).now;
    others.clear();
    token = watcher->changes_since(token).now;
    write(root + "/seen", "");
    const Answer answer = watcher->changes_since(token);
    EXPECT_TRUE(answer.complete) << answer.why;
    EXPECT_EQ(paths_of(answer), (Paths{"", "seen"}));
}

// Deeper than a path can say, anywhere on the file system.
TEST_P(Watched, APathThatIsTooLongIsNoEnd) {
    UniqueFd at = open_file(disk_.path(), O_PATH | O_DIRECTORY);
    const std::string name(250, 'n');
    Watcher watcher(root_, options());
    Token token = watcher.changes_since({}).now;
    for (int depth = 0; depth < 20; ++depth) {
        ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
        at = UniqueFd(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        ASSERT_TRUE(at);
    }
    token = watcher.changes_since(token).now;
    write(path("after"), "");
    const Answer answer = watcher.changes_since(token);
    EXPECT_TRUE(answer.complete) << answer.why;
    EXPECT_EQ(paths_of(answer), (Paths{"", "after"}));
}

INSTANTIATE_TEST_SUITE_P(Both, Watched, ::testing::Values(Backend::Fanotify, Backend::Inotify),
                         [](const auto& test) {
                             return test.param == Backend::Fanotify ? "fanotify" : "inotify";
                         });

}  // namespace
}  // namespace shale::watch
