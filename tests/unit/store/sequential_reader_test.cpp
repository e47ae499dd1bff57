// Reading a long blob around the page cache: the right bytes or none at all.
#include "sequential_reader.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

namespace shale::store {
namespace {

constexpr std::uint64_t kCached = UncachedWriter::kCachedBytes;
constexpr std::uint64_t kTailBytes = 10'000'001;

class SequentialReaderTest : public ::testing::Test {
  protected:
    SequentialReaderTest() {
        std::mt19937_64 random(7);
        tail_.resize(kTailBytes);
        for (char& byte : tail_)
            byte = static_cast<char>(random());
        const UniqueFd fd = open_file(path_, O_WRONLY | O_CREAT);
        EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(kCached)), 0);
        EXPECT_EQ(::lseek(fd.get(), 0, SEEK_END), static_cast<off_t>(kCached));
        write_all(fd.get(), as_bytes(tail_), path_);
        can_direct_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECT)).get() >= 0;
    }
    // True if it was read; then it was right.
    bool reads(SequentialReader& reader, std::uint64_t offset, std::size_t bytes) const {
        std::string out(bytes, '?');
        if (!reader.read(path_, offset, std::as_writable_bytes(std::span(out)))) return false;
        EXPECT_EQ(out, tail_.substr(offset - kCached, bytes)) << offset;
        return true;
    }

    TempDir directory_;
    std::string path_ = join_path(directory_.path(), "blob");
    std::string tail_;
    bool can_direct_ = false;
};

TEST_F(SequentialReaderTest, ReadsOnFromWhereItWas) {
    if (!can_direct_) GTEST_SKIP() << "the file system of " << path_ << " refuses O_DIRECT";
    SequentialReader reader;
    EXPECT_FALSE(reads(reader, kCached, 1000)) << "nothing was read before it";
    std::uint64_t at = kCached + 1000;
    for (std::size_t bytes = 1; at + bytes <= kCached + kTailBytes; bytes = bytes * 3 + 7) {
        if (bytes > 1'000'000) bytes = 12'345;
        ASSERT_TRUE(reads(reader, at, bytes)) << at;
        at += bytes + bytes / 5;
    }
    ASSERT_TRUE(reads(reader, kCached + kTailBytes - 1, 1)) << "the last byte";
    // Each byte once, as far as windows do not overlap by a page or what was skipped saved one.
    EXPECT_LE(reader.direct_bytes(), kTailBytes + (1 << 20));
}

TEST_F(SequentialReaderTest, LeavesTheRestToTheCache) {
    SequentialReader reader;
    EXPECT_FALSE(reader.read(path_, 0, {}));
    std::string out(100, '?');
    const auto into = std::as_writable_bytes(std::span(out));
    EXPECT_FALSE(reader.read(path_, 100, into)) << "the beginning is cached";
    EXPECT_FALSE(reads(reader, kCached + 5'000'000, 100)) << "far from the last";
    EXPECT_FALSE(reads(reader, kCached + 4'000'000, 100)) << "backwards";
    EXPECT_FALSE(reads(reader, kCached + 4'000'100, 5'000'000)) << "more than a window";
    EXPECT_EQ(reader.direct_bytes(), 0u);
}

TEST_F(SequentialReaderTest, AnotherFileOrNoneIsAnotherBeginning) {
    SequentialReader reader;
    EXPECT_FALSE(reads(reader, kCached, 10));
    std::string out(10, '?');
    const auto into = std::as_writable_bytes(std::span(out));
    EXPECT_FALSE(reader.read(path_ + ".none", kCached + 10, into));
    EXPECT_FALSE(reader.read(path_ + ".none", kCached + 20, into));
    EXPECT_FALSE(reads(reader, kCached + 10, 10));
}

TEST_F(SequentialReaderTest, BeyondTheEndIsNothing) {
    SequentialReader reader;
    std::string out(100, '?');
    const auto into = std::as_writable_bytes(std::span(out));
    EXPECT_FALSE(reader.read(path_, kCached + kTailBytes - 10, into));
    EXPECT_FALSE(reader.read(path_, kCached + kTailBytes + 90, into));
}

}  // namespace
}  // namespace shale::store
