// Both engines under one set of tests, and against each other.
#include <shale/io.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace shale::io {
namespace {

// What an engine delivered for one file. The pieces' own rules are checked on arrival.
struct Received {
    std::string bytes;
    int error = 0;
    int pieces = 0;
    bool ended = false;

    void take(const Piece& piece) {
        EXPECT_FALSE(ended) << "a piece after the last";
        EXPECT_EQ(piece.offset, bytes.size());
        if (piece.error) {
            EXPECT_TRUE(piece.last);
            EXPECT_TRUE(piece.bytes.empty());
        }
        bytes.append(as_text(piece.bytes));
        error = piece.error;
        ended = piece.last;
        ++pieces;
    }
};

class Folder {
  public:
    Folder() : fd_(open_file(dir_.path(), O_PATH | O_DIRECTORY)) {}
    std::string path(const std::string& name) const { return join_path(dir_.path(), name); }
    void write(const std::string& name, std::string_view bytes) const {
        const UniqueFd fd = open_file(path(name), O_WRONLY | O_CREAT | O_TRUNC);
        write_all(fd.get(), as_bytes(bytes), name);
    }
    int fd() const { return fd_.get(); }

  private:
    TempDir dir_;
    UniqueFd fd_;
};

std::string noise(std::size_t bytes, unsigned seed) {
    std::mt19937 random(seed);
    std::string text(bytes, '\0');
    for (char& c : text)
        c = static_cast<char>(random());
    return text;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* dir = ::opendir("/proc/self/fd");
    while (::readdir(dir))
        ++count;
    ::closedir(dir);
    return count;
}

class Engines : public ::testing::TestWithParam<EngineKind> {
  protected:
    EngineOptions options() const {
        EngineOptions options;
        options.kind = GetParam();
        options.depth = 4;
        options.buffer_bytes = 4096;
        return options;
    }
    std::unique_ptr<FileEngine> create(const EngineOptions& options) {
        auto engine = create_engine(options, [this](std::span<const Piece> pieces) {
            std::set<std::uint64_t> tags;  // whoever hashes them may do so side by side
            for (const Piece& piece : pieces) {
                EXPECT_TRUE(tags.insert(piece.tag).second);
                files_[piece.tag].take(piece);
            }
        });
        if (GetParam() == EngineKind::Uring && engine->engine_name() != "io_uring") skipped_ = true;
        return engine;
    }
    // One file read with a size hint that may lie.
    Received read_one(const std::string& name, std::uint64_t size_hint) {
        const auto engine = create(options());
        engine->submit({folder_.fd(), name.c_str(), size_hint, 0});
        engine->drain();
        EXPECT_TRUE(files_[0].ended);
        return files_[0];
    }

    Folder folder_;
    std::map<std::uint64_t, Received> files_;
    bool skipped_ = false;
};

#define SKIP_WITHOUT_URING()                                                                       \
    if (skipped_) GTEST_SKIP() << "this kernel or sandbox refuses io_uring"

TEST_P(Engines, ReadsEverySizeAroundTheBuffer) {
    const std::vector<std::size_t> sizes = {0,    1,    4095, 4096,  4097,
                                            8191, 8192, 8193, 65536, 100001};
    std::vector<std::string> names;
    for (const std::size_t size : sizes) {
        names.push_back("f" + std::to_string(size));
        folder_.write(names.back(), noise(size, static_cast<unsigned>(size)));
    }
    const auto engine = create(options());
    SKIP_WITHOUT_URING();
    for (std::size_t at = 0; at < sizes.size(); ++at)
        engine->submit({folder_.fd(), names[at].c_str(), sizes[at], at});
    engine->drain();
    for (std::size_t at = 0; at < sizes.size(); ++at) {
        EXPECT_TRUE(files_[at].ended) << names[at];
        EXPECT_EQ(files_[at].error, 0);
        EXPECT_EQ(files_[at].bytes, noise(sizes[at], static_cast<unsigned>(sizes[at])));
    }
}

TEST_P(Engines, OneReadIsEnoughForASmallFileOfKnownSize) {
    folder_.write("small", "hello");
    const auto engine = create(options());
    SKIP_WITHOUT_URING();
    engine->submit({folder_.fd(), "small", 5, 0});
    engine->drain();
    EXPECT_EQ(engine->stats().opens, 1u);
    EXPECT_EQ(engine->stats().reads, 1u);
    EXPECT_EQ(engine->stats().bytes, 5u);
    EXPECT_EQ(files_[0].pieces, 1);
}

TEST_P(Engines, FileLargerThanExpectedIsReadToItsEnd) {
    folder_.write("grown", noise(10000, 1));
    const Received file = read_one("grown", 3);
    SKIP_WITHOUT_URING();
    EXPECT_EQ(file.bytes, noise(10000, 1));
}

TEST_P(Engines, FileSmallerThanExpectedEndsWhereItEnds) {
    folder_.write("shrunk", "abc");
    const Received file = read_one("shrunk", 1 << 20);
    SKIP_WITHOUT_URING();
    EXPECT_EQ(file.bytes, "abc");
    EXPECT_EQ(file.error, 0);
}

TEST_P(Engines, FileWithoutAnEndIsGivenUp) {
    if (::geteuid() != 0) GTEST_SKIP() << "mknod needs root";
    ASSERT_EQ(::mknod(folder_.path("zero").c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
    int error = 0;
    EngineOptions large = options();
    large.buffer_bytes = 1 << 20;
    const auto engine =
        create_engine(large, [&](std::span<const Piece> pieces) { error = pieces.front().error; });
    engine->submit({folder_.fd(), "zero", 0, 0});
    engine->drain();
    EXPECT_EQ(error, EFBIG);
}

TEST_P(Engines, ErrorsBelongToTheirFileOnly) {
    folder_.write("good", "good");
    ASSERT_EQ(::symlink("good", folder_.path("link").c_str()), 0);
    ASSERT_EQ(::mkdir(folder_.path("directory").c_str(), 0755), 0);
    const auto engine = create(options());
    SKIP_WITHOUT_URING();
    engine->submit({folder_.fd(), "missing", 0, 0});
    engine->submit({folder_.fd(), "link", 4, 1});
    engine->submit({folder_.fd(), "directory", 4096, 2});
    engine->submit({folder_.fd(), "good", 4, 3});
    engine->drain();
    EXPECT_EQ(files_[0].error, ENOENT);
    EXPECT_EQ(files_[1].error, ELOOP);
    EXPECT_EQ(files_[2].error, EISDIR);
    EXPECT_EQ(files_[3].error, 0);
    EXPECT_EQ(files_[3].bytes, "good");
}

TEST_P(Engines, FifoDoesNotBlock) {
    ASSERT_EQ(::mkfifo(folder_.path("fifo").c_str(), 0600), 0);
    const Received file = read_one("fifo", 0);
    SKIP_WITHOUT_URING();
    EXPECT_TRUE(file.bytes.empty());
}

TEST_P(Engines, NoDescriptorIsLeftOpenAfterDrain) {
    for (int at = 0; at < 20; ++at)
        folder_.write("f" + std::to_string(at), noise(9000, 3));
    const auto engine = create(options());
    SKIP_WITHOUT_URING();
    const std::size_t before = open_descriptors();
    std::vector<std::string> names;
    for (int at = 0; at < 20; ++at)
        names.push_back("f" + std::to_string(at));
    for (std::uint64_t at = 0; at < 20; ++at)
        engine->submit({folder_.fd(), names[at].c_str(), 9000, at});
    engine->drain();
    EXPECT_EQ(open_descriptors(), before);
    // Direct descriptors are not in /proc/self/fd, but a write lease is granted only on a file that
    // nobody else has open.
    for (const std::string& name : names) {
        const UniqueFd fd = open_file(folder_.path(name), O_RDONLY);
        EXPECT_EQ(::fcntl(fd.get(), F_SETLEASE, F_WRLCK), 0) << std::strerror(errno);
    }
}

TEST_P(Engines, CanBeUsedAgainAfterDrain) {
    folder_.write("f", "once");
    const auto engine = create(options());
    SKIP_WITHOUT_URING();
    for (std::uint64_t round = 0; round < 50; ++round) {
        engine->submit({folder_.fd(), "f", 4, round});
        engine->drain();
        EXPECT_EQ(files_[round].bytes, "once");
    }
}

TEST_P(Engines, DestructionWithRequestsInFlightIsQuiet) {
    for (int at = 0; at < 8; ++at)
        folder_.write("f" + std::to_string(at), noise(200000, 3));
    std::vector<std::string> names;
    for (int at = 0; at < 8; ++at)
        names.push_back("f" + std::to_string(at));
    const auto engine = create(options());
    for (std::uint64_t at = 0; at < 8; ++at)
        engine->submit({folder_.fd(), names[at].c_str(), 200000, at});
}

TEST_P(Engines, ExceptionFromTheCallbackReachesTheCaller) {
    for (int at = 0; at < 8; ++at)
        folder_.write("f" + std::to_string(at), noise(20000, 3));
    std::vector<std::string> names;
    for (int at = 0; at < 8; ++at)
        names.push_back("f" + std::to_string(at));
    const auto engine = create_engine(
        options(), [](std::span<const Piece>) { fail(ErrorKind::Cancelled, "enough"); });
    EXPECT_THROW(
        {
            for (std::uint64_t at = 0; at < 8; ++at)
                engine->submit({folder_.fd(), names[at].c_str(), 20000, at});
            engine->drain();
        },
        Error);
}

std::string kind_name(const ::testing::TestParamInfo<EngineKind>& kind) {
    return kind.param == EngineKind::Uring ? "Uring" : "Threads";
}
INSTANTIATE_TEST_SUITE_P(Both, Engines, ::testing::Values(EngineKind::Uring, EngineKind::Threads),
                         kind_name);

TEST(EngineOptions, ForcedThreadsAreThreads) {
    EngineOptions options;
    options.kind = EngineKind::Threads;
    EXPECT_EQ(create_engine(options, [](std::span<const Piece>) {})->engine_name(), "threads");
}

TEST(EngineOptions, AutoPrefersIoUringWhereItWorks) {
    EngineOptions uring;
    uring.kind = EngineKind::Uring;
    const auto nothing = [](std::span<const Piece>) {};
    EXPECT_EQ(create_engine({}, nothing)->engine_name(),
              create_engine(uring, nothing)->engine_name());
}

TEST(EngineOptions, AbsurdValuesAreBounded) {
    const Folder folder;
    folder.write("f", "x");
    for (const EngineKind kind : {EngineKind::Uring, EngineKind::Threads}) {
        std::string bytes;
        const auto engine = create_engine(
            {.kind = kind, .depth = 0, .threads = 0, .buffer_bytes = 0},
            [&](std::span<const Piece> pieces) { bytes.append(as_text(pieces.front().bytes)); });
        engine->submit({folder.fd(), "f", 1, 0});
        engine->drain();
        EXPECT_EQ(bytes, "x");
    }
}

// The differential test: 600 files of random sizes with hints that are right, wrong or absent, at
// several depths and buffer sizes.
TEST(EnginesAgree, OnRandomFiles) {
    std::mt19937 random(7);
    const Folder folder;
    std::vector<std::string> names;
    std::vector<std::uint64_t> hints;
    for (unsigned at = 0; at < 600; ++at) {
        const std::size_t size = at % 5 == 0 ? random() % 60000 : random() % 3000;
        names.push_back("f" + std::to_string(at));
        if (at % 50 == 49) {
            hints.push_back(size);
            continue;  // a name without a file
        }
        folder.write(names.back(), noise(size, at));
        hints.push_back(at % 7 == 0 ? random() % 5000 : size);
    }
    const auto read_all = [&](const EngineOptions& options) {
        std::map<std::uint64_t, std::pair<std::string, int>> files;
        std::map<std::uint64_t, Received> received;
        const auto engine = create_engine(options, [&](std::span<const Piece> pieces) {
            for (const Piece& piece : pieces)
                received[piece.tag].take(piece);
        });
        for (std::size_t at = 0; at < names.size(); ++at)
            engine->submit({folder.fd(), names[at].c_str(), hints[at], at});
        engine->drain();
        for (const auto& [tag, file] : received) {
            EXPECT_TRUE(file.ended) << names[tag];
            files[tag] = {file.bytes, file.error};
        }
        return files;
    };
    const auto reference = read_all({.kind = EngineKind::Threads, .threads = 1});
    EXPECT_EQ(reference.size(), names.size());
    for (const unsigned depth : {1u, 3u, 64u, 512u})
        for (const std::uint32_t buffer : {4096u, 65536u})
            for (const EngineKind kind : {EngineKind::Uring, EngineKind::Threads})
                EXPECT_EQ(read_all({.kind = kind,
                                    .depth = depth,
                                    .threads = depth % 5 + 1,
                                    .buffer_bytes = buffer}),
                          reference)
                    << "depth " << depth << " buffer " << buffer;
}

}  // namespace
}  // namespace shale::io
