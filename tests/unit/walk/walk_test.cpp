// walk: order, filter, mounts, depth, errors, and how few system calls it makes.
#include <shale/walk.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace shale::walk {
namespace {

class Walk : public ::testing::Test {
  protected:
    std::string path(const std::string& name) const { return join_path(dir_.path(), name); }
    void mkdir(const std::string& name) const { make_directories(path(name)); }
    void write(const std::string& name, std::string_view bytes = "x") const {
        const UniqueFd fd = open_file(path(name), O_WRONLY | O_CREAT | O_TRUNC);
        write_all(fd.get(), as_bytes(bytes), name);
    }
    std::vector<std::string> paths(const Options& options = {}, Stats* stats = nullptr) const {
        std::vector<std::string> seen;
        const Stats counted =
            walk(dir_.path(), options, [&](const Entry& entry) { seen.emplace_back(entry.path); });
        if (stats) *stats = counted;
        return seen;
    }

    TempDir dir_;
};

using Paths = std::vector<std::string>;

TEST_F(Walk, EmptyDirectoryIsItsRoot) {
    Stats stats;
    EXPECT_EQ(paths({}, &stats), Paths{""});
    EXPECT_EQ(stats.entries, 1u);
}

TEST_F(Walk, OnlyTheNamesThatMatterAreLookedFor) {
    for (const char* name : {"a/b/c", "a/x", "d/e", "f"})
        mkdir(name);
    for (const char* name : {"a/b/1", "a/b/2", "a/b/c/3", "d/e/4", "g", "h"})
        write(name);
    const std::map<std::string, std::vector<std::string>, std::less<>> wanted = {
        {"", {"a", "f", "g", "gone"}}, {"a", {"b"}}, {"f", {}}};
    for (const unsigned threads : {1u, 4u}) {
        Options options;
        options.threads = threads;
        options.only = [&](std::string_view directory) {
            const auto found = wanted.find(directory);
            return found == wanted.end() ? nullptr : &found->second;
        };
        Stats stats;
        EXPECT_EQ(paths(options, &stats),
                  (Paths{"", "a", "a/b", "a/b/1", "a/b/2", "a/b/c", "a/b/c/3", "f", "g"}));
        // The root, four names in it, one in a, three in a/b and one in a/b/c.
        EXPECT_EQ(stats.stat_calls, 10u);
    }
}

// "Foo" opens a file that is called "foo" there, and is no name of it.
TEST_F(Walk, OnlyNamesThatAreThereCountWhereCaseIsFolded) {
    if (::geteuid() != 0) GTEST_SKIP() << "a file system of its own needs root";
    if (::mount("none", dir_.path().c_str(), "tmpfs", 0, "casefold") != 0)
        GTEST_SKIP() << "tmpfs that folds case: " << std::strerror(errno);
    mkdir("d");
    const UniqueFd directory = open_file(path("d"), O_RDONLY | O_DIRECTORY);
    int flags = FS_CASEFOLD_FL;
    const bool folds = ::ioctl(directory.get(), FS_IOC_SETFLAGS, &flags) == 0;
    const std::string why = std::strerror(errno);
    write("d/foo");
    const std::vector<std::string> wanted = {"Foo", "foo"}, top = {"d"};
    Options options;
    options.only = [&](std::string_view path) { return path.empty() ? &top : &wanted; };
    const auto seen = paths(options);
    const UniqueFd found(::open(path("d/FOO").c_str(), O_RDONLY | O_CLOEXEC));
    ::umount2(dir_.path().c_str(), MNT_DETACH);
    if (!folds) GTEST_SKIP() << "a directory that folds case: " << why;
    EXPECT_TRUE(found) << "or the test shows nothing";
    EXPECT_EQ(seen, (Paths{"", "d", "d/foo"}));
}

TEST_F(Walk, DepthFirstWithByteSortedNames) {
    for (const char* name : {"a", "a-b", "a.b", "B"})
        mkdir(name);
    for (const char* name : {"a/z", "a/\x01", "a-b/x", "\xff", "a~"})
        write(name);
    EXPECT_EQ(paths(), (Paths{"", "B", "a", "a/\x01", "a/z", "a-b", "a-b/x", "a.b", "a~", "\xff"}));
}

TEST_F(Walk, EntryCarriesWhatStatSays) {
    write("f", "hello");
    ASSERT_EQ(::chmod(path("f").c_str(), 04751), 0);
    ASSERT_EQ(::link(path("f").c_str(), path("g").c_str()), 0);
    ASSERT_EQ(::symlink("some/target", path("s").c_str()), 0);
    ASSERT_EQ(::mkfifo(path("p").c_str(), 0600), 0);
    const timespec times[2] = {{7, 8}, {1234, 567}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path("f").c_str(), times, 0), 0);
    struct stat status {};
    ASSERT_EQ(::stat(path("f").c_str(), &status), 0);
    std::map<std::string, FileType> types;
    walk(dir_.path(), {}, [&](const Entry& entry) {
        types[std::string(entry.path)] = entry.type;
        EXPECT_EQ(entry.link_target, entry.path == "s" ? "some/target" : "");
        EXPECT_EQ(entry.dir_fd == -1, entry.path == "");
        if (entry.path != "f") return;
        EXPECT_EQ(entry.name, "f");
        EXPECT_EQ(entry.mode, 04751u);
        EXPECT_EQ(entry.size, 5u);
        EXPECT_EQ(entry.mtime_ns, 1234'000'000'567);
        EXPECT_EQ(entry.ctime_ns, status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec);
        EXPECT_EQ(entry.ino, status.st_ino);
        EXPECT_EQ(entry.dev, status.st_dev);
        EXPECT_EQ(entry.nlink, 2u);
        EXPECT_EQ(entry.blocks, static_cast<std::uint64_t>(status.st_blocks));
        struct stat through_fd {};
        EXPECT_EQ(::fstatat(entry.dir_fd, "f", &through_fd, 0), 0);
        EXPECT_EQ(through_fd.st_ino, status.st_ino);
    });
    EXPECT_EQ(types["f"], FileType::Regular);
    EXPECT_EQ(types["s"], FileType::Symlink);
    EXPECT_EQ(types["p"], FileType::Fifo);
    EXPECT_EQ(types[""], FileType::Directory);
}

TEST_F(Walk, SymbolicLinksAreNotFollowedBelowTheRoot) {
    mkdir("real");
    write("real/f");
    ASSERT_EQ(::symlink("real", path("link").c_str()), 0);
    ASSERT_EQ(::symlink(".", path("loop").c_str()), 0);
    EXPECT_EQ(paths(), (Paths{"", "link", "loop", "real", "real/f"}));
    EXPECT_EQ(walk(path("link"), {}, [](const Entry&) {}).entries, 2u);
}

TEST_F(Walk, SocketsAndDevicesAreDelivered) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd folder = open_file(dir_.path(), O_PATH);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/s";
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const bool can_mknod = ::mknod(path("d").c_str(), S_IFBLK | 0600, makedev(7, 300)) == 0;
    walk(dir_.path(), {}, [&](const Entry& entry) {
        if (entry.path == "s") {
            EXPECT_EQ(entry.type, FileType::Socket);
        }
        if (entry.path != "d") return;
        EXPECT_EQ(entry.type, FileType::BlockDevice);
        EXPECT_EQ(entry.device_major, 7u);
        EXPECT_EQ(entry.device_minor, 300u);
    });
    EXPECT_EQ(paths().size(), can_mknod ? 3u : 2u);
}

TEST_F(Walk, XattrsAreSortedAndCostOneCallPerEntryWithout) {
    write("f");
    for (int at = 0; at < 10; ++at)
        write("plain" + std::to_string(at));
    if (::setxattr(path("f").c_str(), "user.b", "2", 1, 0) != 0)
        GTEST_SKIP() << "no user xattrs here";
    ASSERT_EQ(::setxattr(path("f").c_str(), "user.a", "1\0\xff", 3, 0), 0);
    ASSERT_EQ(::setxattr(dir_.path().c_str(), "user.root", "", 0, 0), 0);
    int with = 0;
    const Stats stats = walk(dir_.path(), {}, [&](const Entry& entry) {
        if (!entry.xattrs) return;
        ++with;
        if (entry.path == "")
            EXPECT_EQ(*entry.xattrs, (std::vector<Xattr>{{"user.root", ""}}));
        else
            EXPECT_EQ(*entry.xattrs,
                      (std::vector<Xattr>{{"user.a", std::string("1\0\xff", 3)}, {"user.b", "2"}}));
    });
    EXPECT_EQ(with, 2);
    EXPECT_EQ(stats.xattr_calls, 12u + 3u);  // one list per entry, one get per xattr
    Options without;
    without.read_xattrs = false;
    EXPECT_EQ(
        walk(dir_.path(), without, [](const Entry& entry) { EXPECT_EQ(entry.xattrs, nullptr); })
            .xattr_calls,
        0u);
}

TEST_F(Walk, XattrsOfSymbolicLinksAreTheirOwn) {
    if (::geteuid() != 0) GTEST_SKIP() << "trusted xattrs need root";
    write("f");
    ASSERT_EQ(::symlink("f", path("s").c_str()), 0);
    ASSERT_EQ(::setxattr(path("f").c_str(), "trusted.file", "1", 1, 0), 0);
    if (::lsetxattr(path("s").c_str(), "trusted.link", "2", 1, 0) != 0)
        GTEST_SKIP() << "no trusted xattrs on links here";
    walk(dir_.path(), {}, [&](const Entry& entry) {
        if (entry.path.empty()) return;
        EXPECT_EQ(entry.xattrs->at(0).name, entry.path == "s" ? "trusted.link" : "trusted.file");
    });
}

TEST_F(Walk, OneStatPerEntryOneOpenPerDirectory) {
    for (int at = 0; at < 7; ++at) {
        mkdir("d" + std::to_string(at));
        write("d" + std::to_string(at) + "/f");
    }
    for (const unsigned threads : {1u, 2u, 8u}) {
        Options options;
        options.threads = threads;
        Stats stats;
        EXPECT_EQ(paths(options, &stats).size(), 15u);
        EXPECT_EQ(stats.entries, 15u);
        EXPECT_EQ(stats.stat_calls, 15u);
        EXPECT_EQ(stats.directories_opened, 8u);
    }
}

TEST_F(Walk, PrunedDirectoriesAreNeverOpened) {
    mkdir("keep");
    write("keep/f");
    mkdir("node_modules/deep/er");
    write("node_modules/f");
    Options options;
    options.filter = [](std::string_view at, bool) {
        return at == "node_modules" ? Decision::Prune : Decision::Include;
    };
    Stats stats;
    EXPECT_EQ(paths(options, &stats), (Paths{"", "keep", "keep/f"}));
    EXPECT_EQ(stats.directories_opened, 2u);
}

TEST_F(Walk, FilterSeesParentsBeforeChildrenAndSiblingsInOrder) {
    for (const char* name : {"b/x", "a/y", "a/z/q"})
        mkdir(name);
    write("c");
    const auto caller = std::this_thread::get_id();
    std::vector<std::string> asked;
    Options options;
    options.filter = [&](std::string_view at, bool is_directory) {
        EXPECT_EQ(std::this_thread::get_id(), caller);
        EXPECT_EQ(is_directory, at != "c");
        asked.emplace_back(at);
        return Decision::Include;
    };
    paths(options);
    EXPECT_EQ(asked, (Paths{"a", "b", "c", "a/y", "a/z", "a/z/q", "b/x"}));
}

// Wide and deep enough that several threads are at it.
TEST_F(Walk, AConcurrentFilterSeesParentsFirstAndNothingPrunedIsOpened) {
    for (int i = 0; i < 30; ++i)
        for (const char* below : {"/keep/a/b", "/keep/c", "/drop/x/y"})
            mkdir("d" + std::to_string(i) + below);
    for (const unsigned threads : {1u, 2u, 8u}) {
        std::mutex mutex;
        std::set<std::string> asked;
        Options options;
        options.threads = threads;
        options.filter_is_concurrent = true;
        options.filter = [&](std::string_view at, bool) {
            const std::lock_guard lock(mutex);
            const auto slash = at.rfind('/');
            EXPECT_TRUE(slash == at.npos || asked.contains(std::string(at.substr(0, slash)))) << at;
            EXPECT_TRUE(asked.emplace(at).second) << at << " is asked about twice";
            return at.ends_with("/drop") ? Decision::Prune : Decision::Include;
        };
        Stats stats;
        EXPECT_EQ(paths(options, &stats).size(), 1u + 30 * 5);
        EXPECT_EQ(asked.size(), 30u * 6);
        EXPECT_EQ(stats.directories_opened, 1u + 30 * 5);
    }
}

TEST_F(Walk, WhatAConcurrentFilterThrowsReachesTheCaller) {
    for (int i = 0; i < 30; ++i)
        mkdir("d" + std::to_string(i) + "/e/f");
    Options options;
    options.threads = 4;
    options.filter_is_concurrent = true;
    options.filter = [](std::string_view at, bool) -> Decision {
        if (at == "d20/e") fail(ErrorKind::Invalid, "the filter does not like it");
        return Decision::Include;
    };
    EXPECT_THROW(paths(options), Error);
}

TEST_F(Walk, SkippedDirectoryAppearsOnlyForSomethingIncludedBelow) {
    for (const char* name : {"a/b/c", "d/e"})
        mkdir(name);
    write("a/b/c/keep.me");
    write("a/b/other");
    write("d/e/other");
    Options options;
    options.filter = [](std::string_view at, bool) {
        return at.ends_with(".me") ? Decision::Include : Decision::Skip;
    };
    Stats stats;
    EXPECT_EQ(paths(options, &stats), (Paths{"", "a", "a/b", "a/b/c", "a/b/c/keep.me"}));
    EXPECT_EQ(stats.entries, 5u);
}

TEST_F(Walk, DeepAndLongNames) {
    UniqueFd at = open_file(dir_.path(), O_RDONLY | O_DIRECTORY);
    const std::string name(255, 'd');
    for (int level = 0; level < 100; ++level) {  // 25 600 bytes: far beyond PATH_MAX
        ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
        at = open_file_at(at.get(), name, O_RDONLY | O_DIRECTORY);
    }
    ASSERT_GE(UniqueFd(::openat(at.get(), "leaf", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).get(), 0);
    for (const unsigned threads : {1u, 2u}) {
        Options options;
        options.threads = threads;
        const auto seen = paths(options);
        ASSERT_EQ(seen.size(), 102u);
        EXPECT_EQ(seen.back().size(), 100 * 256 + 4u);
    }
}

TEST_F(Walk, FourHundredLevelsFitTheUsualDescriptorLimit) {
    std::string deep;
    for (int level = 0; level < 400; ++level)
        deep += "d/";
    mkdir(deep);
    EXPECT_EQ(paths().size(), 401u);
}

TEST_F(Walk, DirectoryLargerThanOneReadOfNames) {
    constexpr int kFiles = 1500;  // of 200 bytes each: more than the 256 KiB one getdents64 returns
    for (int at = 0; at < kFiles; ++at) {
        const std::string name = path(std::to_string(at) + std::string(196, 'n'));
        ASSERT_EQ(::mknod(name.c_str(), S_IFREG | 0600, 0), 0);
    }
    const auto seen = paths();
    EXPECT_EQ(seen.size(), kFiles + 1u);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(Walk, MissingRootIsNotFound) {
    try {
        walk(path("missing"), {}, [](const Entry&) {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::NotFound);
        EXPECT_NE(std::string(error.what()).find("missing"), std::string::npos);
    }
}

TEST_F(Walk, ExceptionFromTheCallbackEndsTheWalk) {
    for (int at = 0; at < 200; ++at)
        mkdir("d" + std::to_string(at) + "/sub/sub");
    int delivered = 0;
    EXPECT_THROW(walk(dir_.path(), {},
                      [&](const Entry&) {
                          if (++delivered == 20) fail(ErrorKind::Cancelled, "enough");
                      }),
                 Error);
    EXPECT_EQ(delivered, 20);
}

// The callback removes what the walk has listed but not yet entered or delivered.
TEST_F(Walk, DirectoriesThatVanishAreLeftOut) {
    for (const char* name : {"a", "z1", "z2"})
        mkdir(name);
    write("z1/f");
    Options options;
    options.threads = 1;  // no read-ahead: the removal always comes first
    std::vector<std::string> seen;
    walk(dir_.path(), options, [&](const Entry& entry) {
        seen.emplace_back(entry.path);
        if (entry.path == "a") remove_tree(path("z1"));
    });
    EXPECT_EQ(seen, (Paths{"", "a", "z2"}));
}

TEST_F(Walk, DirectoryReplacedByALinkIsNotFollowed) {
    for (const char* name : {"a", "z", "elsewhere"})
        mkdir(name);
    write("elsewhere/secret");
    Options options;
    options.threads = 1;
    std::vector<std::string> seen;
    walk(dir_.path(), options, [&](const Entry& entry) {
        seen.emplace_back(entry.path);
        if (entry.path == "a") {
            remove_tree(path("z"));
            ASSERT_EQ(::symlink("elsewhere", path("z").c_str()), 0);
        }
    });
    EXPECT_EQ(seen, (Paths{"", "a", "elsewhere", "elsewhere/secret"}));
}

// Runs `body` in a child process; its return value is the exit status.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        int status = 99;
        try {
            status = body();
        } catch (...) {  // the child must not run the parent's tests
            status = 98;
        }
        ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(Walk, UnreadableDirectoryIsDeniedUnlessExcluded) {
    mkdir("open");
    mkdir("shut/inner");
    ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(path("shut").c_str(), 0700), 0);
    const auto as_nobody = [&](bool exclude) {
        return in_child([&] {
            if (::geteuid() == 0 && (::setegid(65534) != 0 || ::seteuid(65534) != 0)) return 90;
            if (::geteuid() != 65534) return 77;
            Options options;
            if (exclude)
                options.filter = [](std::string_view at, bool) {
                    return at == "shut" ? Decision::Prune : Decision::Include;
                };
            try {
                return static_cast<int>(walk(dir_.path(), options, [](const Entry&) {}).entries);
            } catch (const Error& error) {
                const bool named = std::string(error.what()).find("/shut") != std::string::npos;
                return error.kind() == ErrorKind::Denied && named ? 50 : 51;
            }
        });
    };
    const int result = as_nobody(false);
    if (result == 77) GTEST_SKIP() << "needs root, to become nobody";
    EXPECT_EQ(result, 50);
    EXPECT_EQ(as_nobody(true), 2);
}

class Mounts : public Walk {
  protected:
    void SetUp() override {
        mkdir("bound");
        mkdir("source");
        write("source/f");
        if (::mount(path("source").c_str(), path("bound").c_str(), nullptr, MS_BIND, nullptr) != 0)
            GTEST_SKIP() << "bind mount: " << std::strerror(errno);
        mounted_ = true;
    }
    void TearDown() override {
        if (mounted_) ::umount2(path("bound").c_str(), MNT_DETACH);
    }
    bool mounted_ = false;
};

TEST_F(Mounts, AreCrossedByDefault) {
    EXPECT_EQ(paths(), (Paths{"", "bound", "bound/f", "source", "source/f"}));
}

// A bind mount has the same device number as its surroundings.
TEST_F(Mounts, AreLeftEmptyWhenNotCrossed) {
    Options options;
    options.cross_mounts = false;
    Stats stats;
    EXPECT_EQ(paths(options, &stats), (Paths{"", "bound", "source", "source/f"}));
    EXPECT_EQ(stats.directories_opened, 2u);
}

TEST_F(Mounts, RootMayBeAMountPointItself) {
    Options options;
    options.cross_mounts = false;
    EXPECT_EQ(walk(path("bound"), options, [](const Entry&) {}).entries, 2u);
}

}  // namespace
}  // namespace shale::walk
