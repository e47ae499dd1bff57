// A proxy between a client and an agent that answers with what it was told.
#include <shale/sandbox.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace shale::sandbox {
namespace {

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

// Answers every connection with its own words until the other side stops.
class Echo {
  public:
    explicit Echo(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const auto address = address_of(path);
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
                  0);
        EXPECT_EQ(::listen(fd_.get(), 8), 0);
        thread_ = std::jthread([this] { serve(); });
    }
    ~Echo() { ::shutdown(fd_.get(), SHUT_RDWR); }

  private:
    void serve() {
        for (;;) {
            const UniqueFd client(::accept(fd_.get(), nullptr, nullptr));
            if (!client) return;
            char buffer[4096];
            for (ssize_t got = 0; (got = ::read(client.get(), buffer, sizeof buffer)) > 0;)
                write_all(client.get(), as_bytes({buffer, static_cast<std::size_t>(got)}), "echo");
        }
    }
    UniqueFd fd_;
    std::jthread thread_;
};

UniqueFd connect_to(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of(path);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno("connect", path);
    return fd;
}

std::string read_to_end(int fd) {
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    return text;
}

void await_none(const SocketProxy& proxy) {
    for (int tries = 0; proxy.open_connections() != 0 && tries < 1000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(proxy.open_connections(), 0u);
}

class Proxy : public testing::Test {
  protected:
    TempDir directory;
    std::string agent = join_path(directory.path(), "agent");
    std::string path = join_path(directory.path(), "proxy");
};

TEST_F(Proxy, CarriesMoreThanItHoldsInBothDirections) {
    const Echo echo(agent);
    const SocketProxy proxy(path, agent);
    const std::string words(1 << 20, 'x');
    const UniqueFd client = connect_to(path);
    std::jthread writer([&] {
        write_all(client.get(), as_bytes(words), "client");
        ::shutdown(client.get(), SHUT_WR);
    });
    EXPECT_EQ(read_to_end(client.get()), words);
    await_none(proxy);
}

TEST_F(Proxy, ClosesBothEndsOfEveryConnection) {
    const Echo echo(agent);
    const SocketProxy proxy(path, agent);
    for (int i = 0; i < 20; ++i) {
        const UniqueFd client = connect_to(path);
        write_all(client.get(), as_bytes("hello"), "client");
    }
    await_none(proxy);
}

TEST_F(Proxy, LetsClientsWaitInsteadOfTakingAllDescriptors) {
    constexpr std::size_t kMost = 64;
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));  // never accepts
    const auto address = address_of(agent);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ASSERT_EQ(::listen(listener.get(), 128), 0);
    const SocketProxy proxy(path, agent);
    std::vector<UniqueFd> clients;
    for (std::size_t i = 0; i < kMost + 4; ++i)
        clients.push_back(connect_to(path));
    const auto await = [&](std::size_t wanted) {
        for (int tries = 0; proxy.open_connections() != wanted && tries < 1000; ++tries)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return proxy.open_connections();
    };
    EXPECT_EQ(await(kMost), kMost);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(proxy.open_connections(), kMost) << "the others wait";
}

TEST_F(Proxy, ClosesAtOnceIfThereIsNoAgent) {
    const SocketProxy proxy(path, agent);
    const UniqueFd client = connect_to(path);
    EXPECT_EQ(read_to_end(client.get()), "");
    await_none(proxy);
}

TEST_F(Proxy, EndsWithConnectionsOpenAndTakesItsNameAlong) {
    const Echo echo(agent);
    UniqueFd client;
    {
        SocketProxy proxy(path, agent);
        proxy.dress(0640, ::getuid(), ::getgid());
        struct stat status {};
        ASSERT_EQ(::stat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777u, 0640u);
        client = connect_to(path);
    }
    EXPECT_EQ(read_to_end(client.get()), "");
    EXPECT_FALSE(path_exists(path));
}

TEST_F(Proxy, MayLieDeeperThanAnAddressIsLong) {
    const Echo echo(agent);
    const auto deep = join_path(directory.path(), std::string(200, 'd'));
    make_directories(deep);
    const SocketProxy proxy(join_path(deep, "proxy"), agent);
    const UniqueFd parent = open_file(deep, O_PATH | O_DIRECTORY);
    const UniqueFd client = connect_to("/proc/self/fd/" + std::to_string(parent.get()) + "/proxy");
    write_all(client.get(), as_bytes("deep"), "client");
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(read_to_end(client.get()), "deep");
}

}  // namespace
}  // namespace shale::sandbox
