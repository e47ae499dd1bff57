// apply: what extracted files look like on disk. What archives may not do is in
// hostile_archives_test.cpp.
#include <shale/layer.hpp>
#include <shale/tar.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

namespace shale::layer {
namespace {

// An archive of one file, then its trailer.
codec::Source archive_of(const std::string& name, const std::string& content) {
    tar::Member member;
    member.path = name;
    member.mode = 0640;
    member.size = content.size();
    member.mtime_ns = 5'000'000'000;
    auto bytes = std::make_shared<std::string>(tar::encode_header(member) + content);
    bytes->append(tar::padding(content.size()) + tar::kTrailerBytes, '\0');
    return [bytes, sent = std::size_t{0}](MutableBytes out) mutable {
        const std::size_t count = std::min({out.size(), bytes->size() - sent, std::size_t{10'007}});
        std::memcpy(out.data(), bytes->data() + sent, count);
        sent += count;
        return count;
    };
}

struct stat extracted(const std::string& content) {
    const TempDir top;
    apply(archive_of("file", content), "test", top.path());
    EXPECT_TRUE(read_file(top.path() + "/file") == content);
    struct stat status {};
    EXPECT_EQ(::stat((top.path() + "/file").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0640u);
    EXPECT_EQ(status.st_mtim.tv_sec, 5);
    return status;
}

TEST(Extract, RunsOfZerosInLargeFilesTakeNoSpace) {
    std::string content(8 << 20, '\0');
    content.replace(3'000'000, 6, "middle");
    const auto middle = extracted(content);
    EXPECT_LT(middle.st_blocks * 512, 1 << 20);
    EXPECT_GT(middle.st_blocks, 0);
    content.back() = 'x';
    EXPECT_LT(extracted(content).st_blocks * 512, 1 << 20);
    EXPECT_LT(extracted(std::string(5'000'001, '\0')).st_blocks * 512, 1 << 20);
}

TEST(Extract, OtherFilesAreWrittenWhole) {
    const std::string content(3'000'001, 'x');
    EXPECT_GE(extracted(content).st_blocks * 512, 3'000'001);
    EXPECT_EQ(extracted("").st_size, 0);
    EXPECT_EQ(extracted(std::string(1000, '\0')).st_size, 1000);
}

}  // namespace
}  // namespace shale::layer
