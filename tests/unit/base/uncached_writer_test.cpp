// Long files around the page cache: the bytes must be those that were written, in any pieces, and
// failures must reach the caller.
#include <shale/uncached_writer.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <random>

namespace shale {
namespace {

constexpr std::uint64_t kCached = 64 << 10;

std::string random_bytes(std::size_t count) {
    std::mt19937_64 random(count);
    std::string bytes(count, '\0');
    for (char& byte : bytes)
        byte = static_cast<char>(random());
    return bytes;
}

class UncachedWriterTest : public ::testing::Test {
  protected:
    UniqueFd create() { return open_file(path_, O_RDWR | O_CREAT | O_TRUNC); }
    TempDir directory_;
    std::string path_ = join_path(directory_.path(), "file");
};

TEST_F(UncachedWriterTest, WritesWhatItIsGiven) {
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{kCached}, std::size_t{kCached + 1},
          std::size_t{kCached + 4096}, std::size_t{(1 << 20) + kCached}, std::size_t{5'000'001}})
        for (const std::size_t step : {std::size_t{777}, std::size_t{65536}, size + 1}) {
            const std::string bytes = random_bytes(size);
            const UniqueFd fd = create();
            UncachedWriter writer(fd.get(), path_, kCached);
            for (std::size_t at = 0; at < size; at += step)
                writer.write(as_bytes(bytes).subspan(at, std::min(step, size - at)));
            writer.finish();
            ASSERT_EQ(read_file(path_, 1 << 30), bytes) << size << " in steps of " << step;
            ASSERT_EQ(::fcntl(fd.get(), F_GETFL) & O_DIRECT, 0);
        }
}

// Not on tmpfs of old kernels, which has nothing but the page cache.
TEST_F(UncachedWriterTest, WhatFollowsTheFirstPartGoesAroundTheCache) {
    const std::string bytes = random_bytes(3'000'000);
    const UniqueFd fd = create();
    const bool can_direct = ::fcntl(fd.get(), F_SETFL, O_RDWR | O_DIRECT) == 0;
    ::fcntl(fd.get(), F_SETFL, O_RDWR);
    if (!can_direct) GTEST_SKIP() << "the file system of " << path_ << " refuses O_DIRECT";
    UncachedWriter writer(fd.get(), path_, kCached);
    writer.write(as_bytes(bytes));
    writer.finish();
    EXPECT_EQ(writer.direct_bytes(), (bytes.size() - kCached) / 4096 * 4096);
}

TEST_F(UncachedWriterTest, AShortFileStartsNoThread) {
    const UniqueFd fd = create();
    UncachedWriter writer(fd.get(), path_, kCached);
    writer.write(as_bytes(random_bytes(kCached)));
    writer.finish();
    EXPECT_EQ(writer.direct_bytes(), 0u);
    EXPECT_EQ(read_file(path_, 1 << 30).size(), kCached);
}

// A file that may not grow: whichever call notices, one of them says so, and nothing hangs.
TEST_F(UncachedWriterTest, AFailureOfTheThreadReachesTheCaller) {
    struct rlimit before {};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit { 2 << 20, before.rlim_max };
    const UniqueFd fd = create();
    const std::string bytes = random_bytes(1 << 20);
    ::setrlimit(RLIMIT_FSIZE, &limit);
    UncachedWriter writer(fd.get(), path_, kCached);
    const auto write_all_of_it = [&] {
        for (int i = 0; i < 16; ++i)
            writer.write(as_bytes(bytes));
        writer.finish();
    };
    EXPECT_THROW(write_all_of_it(), Error);
    EXPECT_THROW(writer.finish(), Error);  // not as if nothing had been
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old_handler);
}

TEST_F(UncachedWriterTest, MayBeAbandoned) {
    const UniqueFd fd = create();
    UncachedWriter writer(fd.get(), path_, kCached);
    writer.write(as_bytes(random_bytes(2'500'000)));
}

}  // namespace
}  // namespace shale
