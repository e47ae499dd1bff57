// HoleReader against plain reading of the same files.

#include <shale/io.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

namespace shale::io {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class HoleReaderTest : public ::testing::Test {
  protected:
    UniqueFd file_with(const std::vector<std::pair<std::uint64_t, std::string>>& data,
                       std::uint64_t size) const {
        UniqueFd fd = open_file(directory_.path() + "/f", O_RDWR | O_CREAT | O_TRUNC);
        for (const auto& [offset, text] : data)
            EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(offset)),
                      static_cast<ssize_t>(text.size()));
        EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
        return fd;
    }
    static std::string all_of(HoleReader& reader, std::size_t piece) {
        std::string text, buffer(piece, 'x');
        const auto bytes = MutableBytes(reinterpret_cast<std::byte*>(buffer.data()), piece);
        while (const std::size_t got = reader.read(bytes))
            text.append(buffer, 0, got);
        return text;
    }
    // True if the file system under the test keeps holes at all.
    bool has_holes() const {
        const auto fd = open_file(directory_.path() + "/probe", O_RDWR | O_CREAT);
        EXPECT_EQ(::ftruncate(fd.get(), 4 * kMiB), 0);
        return ::lseek(fd.get(), 0, SEEK_DATA) < 0 && errno == ENXIO;
    }

    TempDir directory_;
};

TEST_F(HoleReaderTest, GivesWhatIsThereAndReadsLittle) {
    std::mt19937 random(7);
    for (int round = 0; round < 20; ++round) {
        std::vector<std::pair<std::uint64_t, std::string>> data;
        std::string expected(8 * kMiB + random() % 5000, '\0');
        std::uint64_t written = 0;
        for (int extent = 0; extent < round % 6; ++extent) {
            std::string text(1 + random() % 20'000, static_cast<char>('a' + extent));
            const std::uint64_t at = random() % (expected.size() - text.size());
            expected.replace(at, text.size(), text);
            written += text.size();
            data.emplace_back(at, std::move(text));
        }
        const auto fd = file_with(data, expected.size());
        for (const std::size_t piece : {std::size_t{777}, std::size_t{65536}, std::size_t{kMiB}}) {
            HoleReader reader(fd.get());
            ASSERT_EQ(all_of(reader, piece), expected) << "round " << round;
            // Whole blocks are data, of up to 64 KiB on some machines.
            const auto most = has_holes() ? written + data.size() * 2 * 65536 : expected.size();
            EXPECT_LE(reader.data_bytes(), most);
        }
    }
}

TEST_F(HoleReaderTest, FilesWithoutHolesAndWithoutBytes) {
    const std::string text(100'000, 'd');
    for (const auto& expected : {text, std::string(), std::string("x")}) {
        const auto fd = file_with({{0, expected}}, expected.size());
        HoleReader reader(fd.get());
        EXPECT_EQ(all_of(reader, 4096), expected);
        EXPECT_EQ(reader.data_bytes(), expected.size());
    }
}

TEST_F(HoleReaderTest, AFileThatShrinksEnds) {
    const std::string text(2 * kMiB, 't');
    const auto fd = file_with({{0, text}}, text.size());
    HoleReader reader(fd.get());
    std::vector<std::byte> buffer(kMiB);
    ASSERT_EQ(reader.read(buffer), kMiB);
    ASSERT_EQ(::ftruncate(fd.get(), 10), 0);
    EXPECT_EQ(reader.read(buffer), 0u);
    EXPECT_EQ(reader.read(buffer), 0u);
}

TEST_F(HoleReaderTest, SaysWhatWentWrong) {
    const auto fd = open_file(directory_.path(), O_RDONLY | O_DIRECTORY);
    HoleReader reader(fd.get());
    std::byte byte;
    EXPECT_THROW(reader.read({&byte, 1}), Error);
}

TEST(Sparse, SmallFilesAndFullOnesAreNot) {
    EXPECT_FALSE(is_sparse(0, 0));
    EXPECT_FALSE(is_sparse(kMiB, 0));
    EXPECT_FALSE(is_sparse(10 * kMiB, 10 * kMiB / 512));
    EXPECT_TRUE(is_sparse(10 * kMiB, 8));
    EXPECT_TRUE(is_sparse(20ull << 30, 40'000));
}

}  // namespace
}  // namespace shale::io
