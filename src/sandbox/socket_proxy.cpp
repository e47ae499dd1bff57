// One thread waits for everything: the listener, both ends of every connection, and the end.
//
// A direction of a connection reads only when it has nothing left to write, so a side that does not
// read stops the other one and no more than one buffer per direction is ever held. A half-closed
// connection stays open in the other direction until that ends, too.
#include <shale/sandbox.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <thread>
#include <vector>

namespace shale::sandbox {

namespace {

constexpr std::size_t kBufferBytes = 64 << 10;
constexpr int kBacklog = 64;

UniqueFd unix_socket() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno("socket");
    return fd;
}

// A socket's address holds 108 bytes and a store may lie deep, so the directory goes by its
// descriptor.
struct SocketAddress {
    explicit SocketAddress(const std::string& path) {
        const auto slash = path.rfind('/');
        const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
        directory = open_file(parent, O_PATH | O_DIRECTORY);
        const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
        const std::string text = fmt::format("/proc/self/fd/{}/{}", directory.get(), name);
        if (text.size() >= sizeof address.sun_path)
            fail(ErrorKind::Invalid, "the name of socket '" + path + "' is too long");
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }

    UniqueFd directory;
    sockaddr_un address{};
};

// Bytes on their way from one socket to another.
class Direction {
  public:
    Direction(int from, int to) : from_(from), to_(to) {}

    bool wants_to_read() const { return !at_end_ && pending_ == 0; }
    bool wants_to_write() const { return pending_ > 0; }
    bool is_over() const { return at_end_ && pending_ == 0; }

    // False if the connection is broken.
    bool read() {
        const ssize_t count = ::recv(from_, buffer_.data(), buffer_.size(), 0);
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        if (count == 0) {
            at_end_ = true;
            ::shutdown(to_, SHUT_WR);
            return true;
        }
        start_ = 0;
        pending_ = static_cast<std::size_t>(count);
        return write();
    }
    bool write() {
        const ssize_t count = ::send(to_, buffer_.data() + start_, pending_, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        start_ += static_cast<std::size_t>(count);
        pending_ -= static_cast<std::size_t>(count);
        return true;
    }

  private:
    int from_, to_;
    std::array<char, kBufferBytes> buffer_;
    std::size_t start_ = 0, pending_ = 0;
    bool at_end_ = false;
};

// A command could take all descriptors of the builder otherwise; its further clients wait.
constexpr std::size_t kMaxConnections = 64;

struct Connection {
    Connection(UniqueFd near, UniqueFd far)
        : client(std::move(near)), agent(std::move(far)), to_agent(client.get(), agent.get()),
          to_client(agent.get(), client.get()) {}
    // False once it is over or broken.
    bool serve(short client_events, short agent_events) {
        constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
        bool fine = true;
        if (client_events & kReadable && to_agent.wants_to_read()) fine = fine && to_agent.read();
        if (agent_events & kReadable && to_client.wants_to_read()) fine = fine && to_client.read();
        if (agent_events & POLLOUT && to_agent.wants_to_write()) fine = fine && to_agent.write();
        if (client_events & POLLOUT && to_client.wants_to_write()) fine = fine && to_client.write();
        return fine && !(to_agent.is_over() && to_client.is_over());
    }

    UniqueFd client, agent;
    Direction to_agent, to_client;
};

// Nothing to wait for means not to be asked about, or poll would report a hang-up over and over.
pollfd waiting(const UniqueFd& fd, const Direction& incoming, const Direction& outgoing) {
    const int events =
        (incoming.wants_to_read() ? POLLIN : 0) | (outgoing.wants_to_write() ? POLLOUT : 0);
    return {events == 0 ? -1 : fd.get(), static_cast<short>(events), 0};
}

}  // namespace

struct SocketProxy::State {
    std::string path, upstream;
    UniqueFd listener, ending;
    std::list<Connection> connections;
    std::atomic<std::size_t> count{0};
    std::jthread thread;

    void accept_one() {
        UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client) return;
        try {
            UniqueFd agent = unix_socket();
            const SocketAddress address(upstream);
            // Completes at once or not at all: to a Unix socket there is no being on the way.
            if (::connect(agent.get(), address.get(), sizeof address.address) != 0) return;
            connections.emplace_back(std::move(client), std::move(agent));
        } catch (const Error&) {  // the agent has gone: the client sees its connection closed
        }
    }

    void serve() {
        for (;;) {
            const bool is_full = connections.size() >= kMaxConnections;
            std::vector<pollfd> fds{{ending.get(), POLLIN, 0},
                                    {is_full ? -1 : listener.get(), POLLIN, 0}};
            for (const auto& each : connections) {
                fds.push_back(waiting(each.client, each.to_agent, each.to_client));
                fds.push_back(waiting(each.agent, each.to_client, each.to_agent));
            }
            if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
            if (fds[0].revents != 0) return;
            std::size_t at = 2;
            for (auto each = connections.begin(); each != connections.end(); at += 2) {
                const bool goes_on = each->serve(fds[at].revents, fds[at + 1].revents);
                each = goes_on ? std::next(each) : connections.erase(each);
            }
            if (fds[1].revents != 0) accept_one();
            count = connections.size();
        }
    }
};

SocketProxy::SocketProxy(const std::string& path, const std::string& upstream)
    : state_(std::make_unique<State>()) {
    state_->path = path;
    state_->upstream = upstream;
    state_->listener = unix_socket();
    const SocketAddress address(path);
    if (::bind(state_->listener.get(), address.get(), sizeof address.address) != 0)
        throw_errno("creating socket", path);
    if (::listen(state_->listener.get(), kBacklog) != 0) throw_errno("listening on", path);
    state_->ending.reset(::eventfd(0, EFD_CLOEXEC));
    if (!state_->ending) throw_errno("eventfd");
    state_->thread = std::jthread([state = state_.get()] { state->serve(); });
}

SocketProxy::~SocketProxy() {
    const std::uint64_t one = 1;
    if (::write(state_->ending.get(), &one, sizeof one) < 0) std::terminate();
    state_->thread.join();
    ::unlink(state_->path.c_str());
}

void SocketProxy::dress(unsigned mode, std::uint32_t uid, std::uint32_t gid) {
    if (::lchown(state_->path.c_str(), uid, gid) != 0) throw_errno("chown", state_->path);
    if (::chmod(state_->path.c_str(), mode) != 0) throw_errno("chmod", state_->path);
}

std::size_t SocketProxy::open_connections() const {
    return state_->count;
}

}  // namespace shale::sandbox
