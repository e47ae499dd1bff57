// The walk of generated trees: equal to a naive recursion over readdir and lstat, and the same
// stream on any number of threads and with either engine.
#include "../../support/tree_generator.hpp"

#include <shale/walk_engine.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <tuple>

namespace shale::walk {
namespace {

using testing::TreeGenerator;

// Everything about an entry that a reader could depend on, as one line.
std::string line(std::string_view path, const struct stat& status, std::string_view target) {
    return std::string(path) + "|" + std::to_string(status.st_mode) + "|" +
           std::to_string(status.st_uid) + "|" + std::to_string(status.st_gid) + "|" +
           std::to_string(status.st_size) + "|" + std::to_string(status.st_ino) + "|" +
           std::to_string(status.st_nlink) + "|" + std::to_string(status.st_mtim.tv_nsec) + "|" +
           std::string(target);
}

std::vector<std::string> naive(const std::string& root, const std::string& path) {
    const std::string full = path.empty() ? root : root + "/" + path;
    struct stat status {};
    if (::lstat(full.c_str(), &status) != 0) throw_errno("lstat", full);
    char target[4096];
    const ssize_t bytes =
        S_ISLNK(status.st_mode) ? ::readlink(full.c_str(), target, sizeof target) : 0;
    std::vector<std::string> lines = {
        line(path, status, {target, static_cast<std::size_t>(bytes)})};
    if (!S_ISDIR(status.st_mode)) return lines;
    std::vector<std::string> names;
    DIR* dir = ::opendir(full.c_str());
    while (const dirent* entry = ::readdir(dir))
        if (entry->d_name != std::string_view(".") && entry->d_name != std::string_view(".."))
            names.emplace_back(entry->d_name);
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
        const auto below = naive(root, join_path(path, name));
        lines.insert(lines.end(), below.begin(), below.end());
    }
    return lines;
}

std::vector<std::string> walked(const std::string& root, unsigned threads,
                                Engine engine = Engine::Threads) {
    std::vector<std::string> lines;
    Options options;
    options.threads = threads;
    walk_with(root, options, {engine, 16}, [&](const Entry& entry) {
        struct stat status {};
        status.st_mode = mode_bits_of(entry.type) | entry.mode;
        status.st_uid = entry.uid;
        status.st_gid = entry.gid;
        status.st_size = static_cast<off_t>(entry.size);
        status.st_ino = entry.ino;
        status.st_nlink = entry.nlink;
        status.st_mtim.tv_nsec = entry.mtime_ns % 1'000'000'000;
        lines.push_back(line(entry.path, status, entry.link_target));
    });
    return lines;
}

TEST(WalkProperties, EqualsNaiveRecursionOnAnyNumberOfThreads) {
    const bool root = ::geteuid() == 0;
    TreeGenerator generator(testing::seed_for_test(11), {.entries = 400, .needs_root = root});
    for (int round = 0; round < 5; ++round) {
        const TempDir dir;
        write_to_disk(generator.tree(), dir.path());
        const auto expected = naive(dir.path(), "");
        for (const unsigned threads : {1u, 2u, 3u, 8u}) {
            ASSERT_EQ(walked(dir.path(), threads), expected) << threads << " threads";
            ASSERT_EQ(walked(dir.path(), threads, Engine::Uring), expected)
                << threads << " threads with io_uring";
        }
    }
}

// What generators rarely make: a level per letter a hundred deep, names of 255 bytes, names that
// are no text, a directory that takes several reads, a socket, a fifo and a link to nowhere.
void write_oddities(const std::string& root) {
    const auto touch = [](const std::string& path) {
        ASSERT_EQ(::close(::creat(path.c_str(), 0644)), 0) << path;
    };
    std::string deep = root;
    for (int level = 0; level < 100; ++level)
        make_directories(deep += "/d");
    touch(deep + "/bottom");
    for (const char fill : {'n', '\xff', ' '})
        touch(root + "/" + std::string(255, fill));
    for (const char* name : {"-rf", "a\nb", "\x01", "\xf0\x9f\x92\xa9", "...", "*", "\\"})
        touch(root + "/" + name);
    make_directories(root + "/wide");
    for (int at = 0; at < 12'000; ++at)
        touch(root + "/wide/" + std::to_string(at * 7919));
    ASSERT_EQ(::symlink("nowhere/at/all", (root + "/dangling").c_str()), 0);
    ASSERT_EQ(::mkfifo((root + "/fifo").c_str(), 0600), 0);
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(root.size() + 3, sizeof address.sun_path);
    std::strcpy(address.sun_path, (root + "/s").c_str());
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

TEST(WalkProperties, OdditiesComeAsReaddirSaysWithEitherEngine) {
    const TempDir dir;
    write_oddities(dir.path());
    const auto expected = naive(dir.path(), "");
    ASSERT_GT(expected.size(), 12'100u);
    for (const unsigned threads : {1u, 2u, 8u})
        for (const Engine engine : {Engine::Auto, Engine::Threads, Engine::Uring})
            ASSERT_EQ(walked(dir.path(), threads, engine), expected) << threads;
}

// One directory of 200 000 names, more than fifteen reads of it return, made of hard links because
// those are cheap to make; ext4 lets a file have 65 000 of them.
TEST(WalkProperties, TwoHundredThousandNamesInOneDirectory) {
    constexpr unsigned kNames = 200'000, kNamesPerFile = 50'000;
    const TempDir dir;
    const UniqueFd wide = open_file(dir.path(), O_RDONLY | O_DIRECTORY);
    std::vector<std::string> expected;
    std::string first;
    for (unsigned at = 0; at < kNames; ++at) {
        const std::string name = std::to_string(at * 7919 % kNames) + "-name";
        if (at % kNamesPerFile == 0) {
            first = name;
            ASSERT_EQ(::mknodat(wide.get(), first.c_str(), S_IFREG | 0600, 0), 0);
        } else {
            ASSERT_EQ(::linkat(wide.get(), first.c_str(), wide.get(), name.c_str(), 0), 0) << name;
        }
        expected.push_back(name);
    }
    std::sort(expected.begin(), expected.end());
    for (const unsigned threads : {1u, 2u, 8u})
        for (const Engine engine : {Engine::Threads, Engine::Uring}) {
            std::size_t at = 0;
            Options options;
            options.threads = threads;
            options.read_xattrs = false;
            const Stats stats =
                walk_with(dir.path(), options, {engine, 16}, [&](const Entry& entry) {
                    if (entry.path.empty()) return;
                    ASSERT_LT(at, kNames);
                    ASSERT_EQ(entry.path, expected[at++]);
                    ASSERT_EQ(entry.nlink, kNamesPerFile);
                });
            ASSERT_EQ(at, kNames) << threads << " threads";
            ASSERT_EQ(stats.directories_opened, 1u);
        }
}

// Entries come, go and change type all the time. What holds still must be there, in order, once;
// the rest may be or not be, and nothing may fail.
TEST(WalkProperties, WalkInATreeThatMovesDeliversAllThatHoldsStill) {
    const TempDir dir;
    for (int at = 0; at < 60; ++at) {
        make_directories(dir.path() + "/still" + std::to_string(at) + "/below");
        write_file_atomic(dir.path() + "/still" + std::to_string(at) + "/file", {});
    }
    std::jthread mover([&](const std::stop_token& stop) {
        for (unsigned round = 0; !stop.stop_requested(); ++round) {
            const std::string at = dir.path() + "/still" + std::to_string(round % 60) + "/moving";
            if (round % 3 == 0) make_directories(at + "/inner");
            if (round % 3 == 1) write_file_atomic(at + "-", {});
            if (round % 3 == 2) std::ignore = ::symlink("file", at.c_str());
            remove_tree(at);
            remove_tree(at + "-");
        }
    });
    for (int round = 0; round < 12; ++round) {
        const Engine engine = round % 2 ? Engine::Uring : Engine::Threads;
        std::set<std::string> still;
        Options options;
        options.threads = 1 + static_cast<unsigned>(round % 4);
        walk_with(dir.path(), options, {engine, 16}, [&](const Entry& entry) {
            if (entry.path.find("moving") != std::string_view::npos) return;
            EXPECT_TRUE(still.emplace(entry.path).second) << entry.path;
        });
        ASSERT_EQ(still.size(), 1u + 60 * 3);
    }
}

TEST(WalkProperties, ReportNamesTheEngineAndTheThreads) {
    const TempDir dir;
    make_directories(dir.path() + "/a/b");
    Options options;
    options.threads = 3;
    const auto report_of = [&](const EngineOptions& engine) {
        EngineReport report;
        walk_with(
            dir.path(), options, engine, [](const Entry&) {}, &report);
        return report;
    };
    EXPECT_EQ(report_of({}).engine, "threads");
    EXPECT_GE(report_of({}).threads, 3u);
    EXPECT_EQ(report_of({Engine::Auto, 0}).threads, 3u);
    EXPECT_EQ(report_of({Engine::Uring, 16}).threads, 3u);
}

// A random filter gives the same stream on any number of threads, and the stream is what the rule
// says: included entries, and the directories above them.
TEST(WalkProperties, FilteredStreamFollowsTheRule) {
    TreeGenerator generator(testing::seed_for_test(12), {.entries = 300});
    for (int round = 0; round < 5; ++round) {
        const TempDir dir;
        const auto model = generator.tree();
        write_to_disk(model, dir.path());
        const std::uint64_t salt = generator.below(1000);
        const auto decide = [&](std::string_view path) {
            const auto roll = (std::hash<std::string_view>()(path) ^ salt) % 10;
            return roll < 2 ? Decision::Prune : roll < 6 ? Decision::Skip : Decision::Include;
        };
        std::set<std::string> expected = {""};
        for (const auto& [path, item] : model) {
            std::vector<std::string> parents;
            bool pruned = false;
            for (auto slash = path.find('/'); slash != std::string::npos;
                 slash = path.find('/', slash + 1))
                parents.push_back(path.substr(0, slash));
            for (const auto& parent : parents)
                pruned |= decide(parent) == Decision::Prune;
            if (path.empty() || pruned || decide(path) != Decision::Include) continue;
            expected.insert(parents.begin(), parents.end());
            expected.insert(path);
        }
        std::vector<std::string> order;
        for (const unsigned threads : {1u, 2u, 8u})
            for (const bool is_concurrent : {false, true}) {
                Options options;
                options.threads = threads;
                options.filter_is_concurrent = is_concurrent;
                options.filter = [&](std::string_view path, bool) { return decide(path); };
                std::vector<std::string> seen;
                walk(dir.path(), options,
                     [&](const Entry& entry) { seen.emplace_back(entry.path); });
                ASSERT_EQ(std::set<std::string>(seen.begin(), seen.end()), expected);
                ASSERT_EQ(seen.size(), expected.size());
                if (order.empty()) order = seen;
                ASSERT_EQ(seen, order) << threads << " threads";
            }
    }
}

}  // namespace
}  // namespace shale::walk
