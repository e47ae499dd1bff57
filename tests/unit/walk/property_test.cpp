// The walk of generated trees: equal to a naive recursion over readdir and lstat, and the same
// stream on any number of threads.
#include "../../support/tree_generator.hpp"

#include <shale/walk.hpp>

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

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

std::vector<std::string> walked(const std::string& root, unsigned threads) {
    std::vector<std::string> lines;
    Options options;
    options.threads = threads;
    walk(root, options, [&](const Entry& entry) {
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
        for (const unsigned threads : {1u, 2u, 3u, 8u})
            ASSERT_EQ(walked(dir.path(), threads), expected) << threads << " threads";
    }
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
        for (const unsigned threads : {1u, 2u, 8u}) {
            Options options;
            options.threads = threads;
            options.filter = [&](std::string_view path, bool) { return decide(path); };
            std::vector<std::string> seen;
            walk(dir.path(), options, [&](const Entry& entry) { seen.emplace_back(entry.path); });
            ASSERT_EQ(std::set<std::string>(seen.begin(), seen.end()), expected);
            ASSERT_EQ(seen.size(), expected.size());
        }
    }
}

}  // namespace
}  // namespace shale::walk
