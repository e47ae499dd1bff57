#include <shale/base.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace shale {
namespace {

TEST(Digest, TextRoundTrip) {
    const std::string text = "sha256:" + std::string(62, 'a') + "0f";
    EXPECT_EQ(Digest::parse(text).str(), text);
}

TEST(Digest, RejectsMalformedText) {
    for (const char* text : {"", "sha256:", "sha256:zz", "SHA256:00", "sha256:ABCDEF"})
        try {
            Digest::parse(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Invalid) << text;
        }
}

TEST(Digest, OtherAlgorithmIsUnsupported) {
    try {
        Digest::parse("sha512:" + std::string(128, '0'));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    }
}

TEST(Error, ContextIsPutInFront) {
    try {
        in_context([] { return std::string("outer"); }, [] { fail(ErrorKind::Corrupt, "inner"); });
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "outer: inner");
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    }
}

TEST(Error, MissingFileIsNotFoundAndNamesThePath) {
    try {
        open_file("/nonexistent/x", 0);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::NotFound);
        EXPECT_NE(std::string(error.what()).find("/nonexistent/x"), std::string::npos);
    }
}

TEST(Path, CleanNeverClimbsAboveTheRoot) {
    EXPECT_EQ(clean_absolute_path("/a/./b/../c//"), "/a/c");
    EXPECT_EQ(clean_absolute_path("../../x"), "/x");
    EXPECT_EQ(clean_absolute_path(""), "/");
    EXPECT_EQ(clean_absolute_path("/.."), "/");
}

TEST(Path, JoinPutsExactlyOneSlash) {
    EXPECT_EQ(join_path("/a", "b"), "/a/b");
    EXPECT_EQ(join_path("/a/", "/b"), "/a/b");
    EXPECT_EQ(join_path("", "b"), "b");
    EXPECT_EQ(join_path("/a", ""), "/a");
}

TEST(File, AtomicWriteReplacesAndLeavesNoTemporary) {
    const TempDir dir;
    const auto path = dir.path() + "/f";
    write_file_atomic(path, as_bytes("one"));
    write_file_atomic(path, as_bytes("two"), 0600);
    EXPECT_EQ(read_file(path), "two");
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_EQ(::rmdir(dir.path().c_str()), 0) << "a temporary file stayed behind";
}

TEST(OutputFile, AppearsAtCommitAndNotBefore) {
    const TempDir dir;
    const auto path = dir.path() + "/f";
    {
        OutputFile abandoned(path);
        abandoned.write(as_bytes("half"));
    }
    EXPECT_FALSE(path_exists(path));
    write_output_file(path, as_bytes("one"));
    write_output_file(path, as_bytes("two"));
    EXPECT_EQ(read_file(path), "two");
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_EQ(::rmdir(dir.path().c_str()), 0) << "a temporary file stayed behind";
}

TEST(OutputFile, WritesIntoAFifoInsteadOfReplacingIt) {
    const TempDir dir;
    const auto path = dir.path() + "/fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    // Open for both ends: the writer does not wait for a reader.
    const UniqueFd reader = open_file(path, O_RDWR | O_NONBLOCK);
    write_output_file(path, as_bytes("text"));
    char buffer[16];
    EXPECT_EQ(::read(reader.get(), buffer, sizeof buffer), 4);
    struct stat status {};
    ASSERT_EQ(::lstat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISFIFO(status.st_mode));
}

TEST(OutputFile, APipeThatNobodyReadsIsAnErrorAndNoEnd) {
    const TempDir dir;
    const auto path = dir.path() + "/fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    try {
        write_output_file(path, as_bytes("text"));
        FAIL() << "written to nobody";
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()), "nobody reads the pipe " + path);
    }
}

TEST(OutputFile, AReaderOfAPipeMayComeLaterAndReadSlowly) {
    const TempDir dir;
    const auto path = dir.path() + "/fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const std::string text(1 << 20, 'x');  // more than a pipe holds
    std::string seen;
    std::jthread reader([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        seen = read_file(path);
    });
    write_output_file(path, as_bytes(text));
    reader.join();
    EXPECT_EQ(seen, text);
}

TEST(OutputFile, FollowsLinksAndLeavesThem) {
    const TempDir dir;
    const auto target = dir.path() + "/target", link = dir.path() + "/link";
    ASSERT_EQ(::symlink("target", link.c_str()), 0);
    write_output_file(link, as_bytes("dangling before"));
    write_output_file(link, as_bytes("replaced"));
    EXPECT_EQ(read_file(target), "replaced");
    struct stat status {};
    ASSERT_EQ(::lstat(link.c_str(), &status), 0);
    EXPECT_TRUE(S_ISLNK(status.st_mode));
    const auto null = dir.path() + "/null";
    ASSERT_EQ(::symlink("/dev/null", null.c_str()), 0);
    write_output_file(null, as_bytes("x"));
    ASSERT_EQ(::stat(null.c_str(), &status), 0);
    EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST(OutputFile, WritesIntoAnOpenFileNamedThroughProc) {
    const TempDir dir;
    const auto path = dir.path() + "/log";
    const UniqueFd log = open_file(path, O_RDWR | O_CREAT);
    write_all(log.get(), as_bytes("before "), path);
    const auto link = dir.path() + "/stdout";  // as /dev/stdout is made
    ASSERT_EQ(::symlink(("/proc/self/fd/" + std::to_string(log.get())).c_str(), link.c_str()), 0);
    write_output_file(link, as_bytes("after"));
    EXPECT_EQ(read_file(path), "before after");
    struct stat by_name {
    }, opened{};
    ASSERT_EQ(::stat(path.c_str(), &by_name), 0);
    ASSERT_EQ(::fstat(log.get(), &opened), 0);
    EXPECT_EQ(by_name.st_ino, opened.st_ino);
}

TEST(OutputFile, RefusesADirectoryByName) {
    const TempDir dir;
    try {
        write_output_file(dir.path(), as_bytes("x"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.sys_errno(), EISDIR);
        EXPECT_NE(std::string(error.what()).find(dir.path()), std::string::npos);
    }
}

TEST(File, ReadRefusesMoreThanTheLimit) {
    const TempDir dir;
    write_file_atomic(dir.path() + "/f", as_bytes("12345"));
    EXPECT_EQ(read_file(dir.path() + "/f", 5), "12345");
    EXPECT_THROW(read_file(dir.path() + "/f", 4), Error);
}

TEST(TempDir, RemovesTreesButNotThroughLinks) {
    const TempDir outside;
    write_file_atomic(outside.path() + "/keep", as_bytes("x"));
    std::string path;
    {
        const TempDir dir;
        path = dir.path();
        make_directories(path + "/a/b/c");
        ASSERT_EQ(::symlink(outside.path().c_str(), (path + "/a/link").c_str()), 0);
    }
    EXPECT_FALSE(path_exists(path));
    EXPECT_TRUE(path_exists(outside.path() + "/keep"));
}

TEST(ByteReader, OverrunNamesTheOffset) {
    ByteReader reader(as_bytes("abcdef"), "toc");
    reader.take(4);
    try {
        reader.u32();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
        EXPECT_STREQ(error.what(), "toc: 4 bytes wanted, 2 left at offset 4");
    }
}

TEST(Time, Rfc3339RoundTrip) {
    for (const std::int64_t ns :
         {0ll, 1'700'000'000'000'000'000ll, 1'700'000'000'123'456'789ll, -1'500'000'000ll}) {
        const auto text = format_rfc3339(ns);
        EXPECT_EQ(parse_rfc3339(text), ns) << text;
    }
    EXPECT_EQ(parse_rfc3339("2020-01-01T00:00:00+01:00"), parse_rfc3339("2019-12-31T23:00:00Z"));
    EXPECT_FALSE(parse_rfc3339("yesterday"));
    EXPECT_FALSE(parse_rfc3339("2020-01-01T00:00:00"));
}

TEST(Text, SizesReadAsDockerPrintsThem) {
    EXPECT_EQ(format_size(0), "0 B");
    EXPECT_EQ(format_size(999), "999 B");
    EXPECT_EQ(format_size(1500), "1.50 kB");
    EXPECT_EQ(format_size(123'456'789), "123 MB");
}

TEST(Text, NearestMatchNeedsAtMostTwoEdits) {
    const std::vector<std::string> words{"ENTRYPOINT", "FROM", "RUN"};
    EXPECT_EQ(nearest_match("FNTRYPOINT", words), "ENTRYPOINT");
    EXPECT_EQ(nearest_match("form", words), "FROM");
    EXPECT_EQ(nearest_match("xyzzy", words), "");
}

TEST(BoundedQueue, DrainsAfterClose) {
    BoundedQueue<int> queue(2);
    std::vector<int> seen;
    std::thread consumer([&] {
        while (auto item = queue.pop())
            seen.push_back(*item);
    });
    for (int i = 0; i < 100; ++i)
        ASSERT_TRUE(queue.push(i));
    queue.close();
    consumer.join();
    EXPECT_EQ(seen.size(), 100u);
    EXPECT_EQ(seen.back(), 99);
    EXPECT_FALSE(queue.push(1));
}

TEST(WholeSeconds, RoundsDownBeforeTheEpochToo) {
    EXPECT_EQ(whole_seconds(0), 0);
    EXPECT_EQ(whole_seconds(1), 0);
    EXPECT_EQ(whole_seconds(1'999'999'999), 1'000'000'000);
    EXPECT_EQ(whole_seconds(2'000'000'000), 2'000'000'000);
    EXPECT_EQ(whole_seconds(-1), -1'000'000'000);
    EXPECT_EQ(whole_seconds(-1'000'000'000), -1'000'000'000);
    EXPECT_EQ(whole_seconds(INT64_MAX), 9'223'372'036'000'000'000);
    EXPECT_EQ(whole_seconds(INT64_MIN), INT64_MIN);
    for (const std::int64_t ns :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{-1'000'000'000},
          std::int64_t{1'999'999'999}, INT64_MIN, INT64_MIN + 1, INT64_MAX}) {
        const timespec time = to_timespec(ns);
        EXPECT_EQ(to_ns(time), ns);
        EXPECT_GE(time.tv_nsec, 0);
        EXPECT_LT(time.tv_nsec, kNsPerSecond);
    }
    EXPECT_EQ(to_timespec(-1).tv_sec, -1);
    EXPECT_EQ(to_ns({INT64_MAX, 999'999'999}), INT64_MAX);
    EXPECT_EQ(to_ns({INT64_MAX / kNsPerSecond, 999'999'999}), INT64_MAX);
    EXPECT_EQ(to_ns({INT64_MIN, 0}), INT64_MIN);
    EXPECT_EQ(to_ns({INT64_MIN / kNsPerSecond - 1, 1}), INT64_MIN);
    EXPECT_EQ(to_timespec(INT64_MIN).tv_sec, -9'223'372'037);
    EXPECT_EQ(format_rfc3339(INT64_MIN), "1677-09-21T00:12:43.145224192Z");
    EXPECT_EQ(format_rfc3339(INT64_MAX), "2262-04-11T23:47:16.854775807Z");
    EXPECT_EQ(format_rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(Random, NamesHaveTheLengthAskedForAndDiffer) {
    EXPECT_EQ(random_hex(6).size(), 12u);
    EXPECT_NE(random_hex(16), random_hex(16));
}

}  // namespace
}  // namespace shale
