// The thread that fills extracted files.
#include "file_finisher.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>

namespace shale::layer {
namespace {

struct FileFinisherTest : ::testing::Test {
    TempDir top;
    std::string path(int number) const { return join_path(top.path(), std::to_string(number)); }
    static tar::Member member(int number) {
        tar::Member made;
        made.path = std::to_string(number);
        made.mode = 0640;
        made.mtime_ns = number * 1'000'000'000ll;
        return made;
    }
    static std::vector<std::byte> content(int number) {
        return std::vector<std::byte>(static_cast<std::size_t>(number) * 7 % 5000,
                                      static_cast<std::byte>('a' + number % 26));
    }
};

TEST_F(FileFinisherTest, EveryFileIsWhole) {
    constexpr int kFiles = 2000;  // many more than may wait
    FileFinisher finisher;
    for (int i = 0; i < kFiles; ++i)
        finisher.finish(open_file(path(i), O_WRONLY | O_CREAT | O_EXCL, 0600), member(i),
                        content(i));
    finisher.wait();
    for (int i = 0; i < kFiles; ++i) {
        const auto wanted = content(i);
        const auto text = read_file(path(i));
        EXPECT_TRUE(std::ranges::equal(as_bytes(text), wanted)) << i;
        struct stat status {};
        ASSERT_EQ(::stat(path(i).c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777u, 0640u);
        EXPECT_EQ(status.st_mtim.tv_sec, i);
    }
}

TEST_F(FileFinisherTest, OneThatCannotBeWrittenIsTold) {
    FileFinisher finisher;
    finisher.finish(open_file(path(1), O_RDONLY | O_CREAT, 0600), member(1), content(1));
    const auto message = [](const std::function<void()>& body) -> std::string {
        try {
            body();
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    };
    EXPECT_NE(message([&] { finisher.wait(); }).find("1"), std::string::npos);
    EXPECT_NE(message([&] {
                  finisher.finish(open_file(path(2), O_WRONLY | O_CREAT, 0600), member(2),
                                  content(2));
              }),
              "no error")
        << "nothing is accepted that would never be done";
}

TEST_F(FileFinisherTest, WhatIsLeftIsAbandoned) {
    for (int round = 0; round < 20; ++round) {
        FileFinisher finisher;
        for (int i = 1; i < 50; ++i)
            finisher.finish(open_file(path(i), O_WRONLY | O_CREAT, 0600), member(i), content(i));
    }
}

}  // namespace
}  // namespace shale::layer
