// What lies beside the blobs: how much it is, however it is nested.
#include "beside.hpp"

#include <shale/store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shale::store {
namespace {

TEST(BlocksBelow, CountsFilesAndDirectories) {
    const TempDir directory;
    make_directories(directory.path() + "/a/b");
    write_file_atomic(directory.path() + "/a/b/file", as_bytes(std::string(100'000, 'x')));
    ASSERT_EQ(::symlink("/", (directory.path() + "/a/root").c_str()), 0);
    std::uint64_t expected = 0;
    for (const char* path : {"", "/a", "/a/b", "/a/b/file", "/a/root"})
        expected += blocks_of(directory.path() + path);
    EXPECT_GE(expected, 100'000u);
    EXPECT_EQ(blocks_below(directory.path()), expected);
    EXPECT_EQ(blocks_below(directory.path() + "/none"), 0u);
    EXPECT_EQ(blocks_below(directory.path() + "/a/root"), 0u);  // no link is followed
}

// As a RUN can leave them in a cache mount.
TEST(BlocksBelow, DeepDirectoriesNeedFewDescriptors) {
    const TempDir directory;
    UniqueFd at = open_file(directory.path(), O_RDONLY | O_DIRECTORY);
    std::uint64_t expected = blocks_of(directory.path());
    for (int level = 0; level < 3000; ++level) {
        for (const char* name : {"d", "e"})
            ASSERT_EQ(::mkdirat(at.get(), name, 0700), 0);
        struct stat status {};
        ASSERT_EQ(::fstatat(at.get(), "d", &status, 0), 0);
        expected += 2 * static_cast<std::uint64_t>(status.st_blocks) * 512;
        at = open_file_at(at.get(), "d", O_RDONLY | O_DIRECTORY);
    }
    at.reset();
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit few{100, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const auto counted = blocks_below(directory.path());
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(counted, expected);
}

// Who can open a lock can hold it for ever.
TEST(Locks, AreTheUsersAlone) {
    const TempDir directory;
    const std::string root = directory.path() + "/store";
    const auto others_of = [&](const char* name) {
        struct stat status {};
        EXPECT_EQ(::stat((root + name).c_str(), &status), 0) << name;
        return status.st_mode & 077;
    };
    { const Store store(root); }
    ASSERT_EQ(::chmod((root + "/lock").c_str(), 0644), 0);  // as it was once made
    const Store store(root);
    EXPECT_EQ(others_of("/lock"), 0u);
    EXPECT_EQ(others_of("/update.lock"), 0u);
}

}  // namespace
}  // namespace shale::store
