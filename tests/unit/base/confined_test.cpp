// Files of strangers: no link leads out of their directory, and nothing that is no file is waited
// for.
#include <shale/confined.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>

namespace shale {
namespace {

class Confined : public ::testing::Test {
  protected:
    Confined() {
        write_file_atomic(outer_.path() + "/secret", as_bytes("secret"));
        make_directories(inner_ + "/sub");
        write_file_atomic(inner_ + "/file", as_bytes("text"));
    }
    void link(const std::string& target, const std::string& name) const {
        ASSERT_EQ(::symlink(target.c_str(), (inner_ + "/" + name).c_str()), 0);
    }
    std::optional<std::string> read(const std::string& name) const {
        return read_confined(inner_, name, 100);
    }
    std::string error_of(const std::string& name) const {
        try {
            read(name);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }

    const TempDir outer_;
    const std::string inner_ = outer_.path() + "/inner";
};

TEST_F(Confined, ReadsFilesAndWhatLinksWithinLeadTo) {
    EXPECT_EQ(read("file"), "text");
    EXPECT_EQ(read("sub/../file"), "text");
    link("../file", "sub/link");
    link("/sub/link", "absolute");
    EXPECT_EQ(read("sub/link"), "text");
    EXPECT_EQ(read("absolute"), "text");
    EXPECT_EQ(read("missing"), std::nullopt);
    EXPECT_EQ(read("file/below"), std::nullopt);
}

TEST_F(Confined, NoLinkLeadsOut) {
    link("../secret", "up");
    link(outer_.path() + "/secret", "absolute");
    link("..", "sub/parents");
    link("/proc/self/root" + outer_.path() + "/secret", "magic");
    for (const char* name : {"up", "absolute", "../secret", "sub/parents/../secret", "magic"})
        EXPECT_EQ(read(name), std::nullopt) << name;
}

// Of a path with ".." the kernel gives up when anything is renamed meanwhile, wherever that is.
TEST_F(Confined, RenamesElsewhereAreWaitedOut) {
    const TempDir elsewhere;
    const std::string a = elsewhere.path() + "/a", b = elsewhere.path() + "/b";
    make_directories(a);
    std::jthread renaming([&](const std::stop_token& stop) {
        while (!stop.stop_requested())
            if (::rename(a.c_str(), b.c_str()) != 0 || ::rename(b.c_str(), a.c_str()) != 0) return;
    });
    for (int i = 0; i < 3000; ++i)
        ASSERT_EQ(read("sub/../file"), "text");
}

TEST_F(Confined, OnlyFilesAreRead) {
    ASSERT_EQ(::mkfifo((inner_ + "/fifo").c_str(), 0600), 0);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = inner_ + "/socket";
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    for (const char* name : {"fifo", "sub", "socket"})
        EXPECT_NE(error_of(name).find("not a regular file"), std::string::npos) << error_of(name);
    ::close(fd);
}

TEST_F(Confined, LongFilesAreRefused) {
    write_file_atomic(inner_ + "/long", as_bytes(std::string(101, 'x')));
    EXPECT_NE(error_of("long").find("larger than"), std::string::npos) << error_of("long");
}

// Directories within each other, deeper than the process may have open and than a path can be.
TEST(RemoveTree, RemovesWhatIsDeeperThanDescriptorsAreMany) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const TempDir directory;
    const std::string top = directory.path() + "/top";
    UniqueFd at;
    make_directories(top);
    at = open_file(top, O_RDONLY | O_DIRECTORY);
    for (int level = 0; level < 5000; ++level) {
        ASSERT_EQ(::mkdirat(at.get(), "directory", 0700), 0);
        UniqueFd file = open_file_at(at.get(), "file", O_WRONLY | O_CREAT, 0600);
        at = open_file_at(at.get(), "directory", O_RDONLY | O_DIRECTORY);
    }
    // Names that the removal might want for itself.
    for (int i = 0; i < 5; ++i)
        make_directories(top + "/deep-" + std::to_string(i) + "/full");
    at.reset();
    const rlimit few{100, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const bool is_removed = remove_tree(top);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(is_removed);
    EXPECT_FALSE(path_exists(top));
}

}  // namespace
}  // namespace shale
