// Network modes of a run.
//
// A namespace is made on a thread of its own, which enters it, raises the loopback interface and
// ends; the descriptor keeps the namespace alive. The runtime is started inside it, so config.json
// lists no network namespace and no path in /run has to be cleaned up.
#include "network.hpp"

#include "pipe.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

namespace shale::sandbox {

namespace {

constexpr std::string_view kForwarder = "10.0.2.3";  // slirp4netns answers DNS there

void raise_loopback() {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) throw_errno("socket");
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) throw_errno("raising interface", "lo");
}

// More would only serve bursts of parallel steps.
constexpr std::size_t kMaxIdle = 4;

bool is_loopback(std::string_view address) {
    return address.starts_with("127.") || address == "::1" || address == "localhost";
}

// The word after "nameserver", or empty.
std::string_view nameserver_of(std::string_view line) {
    constexpr std::string_view kKey = "nameserver";
    if (!line.starts_with(kKey)) return {};
    line.remove_prefix(kKey.size());
    const auto start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos || start == 0) return {};
    line.remove_prefix(start);
    return line.substr(0, line.find_first_of(" \t\r"));
}

}  // namespace

Network parse_network(std::string_view name) {
    if (name == "default") return Network::Private;
    if (name == "none") return Network::None;
    if (name == "host") return Network::Host;
    fail(ErrorKind::Invalid, "invalid network mode \"" + std::string(name) + "\"");
}

UniqueFd make_network_namespace() {
    UniqueFd result;
    std::exception_ptr error;
    std::thread([&] {
        try {
            if (::unshare(CLONE_NEWNET) != 0) throw_errno("unshare", "network namespace");
            raise_loopback();
            result = open_file("/proc/thread-self/ns/net", O_RDONLY);
        } catch (...) {  // thread root
            error = std::current_exception();
        }
    }).join();
    if (error) std::rethrow_exception(error);
    return result;
}

UserModeNetwork::UserModeNetwork(const std::string& program, int namespace_fd) {
    Pipe ready, errors, keep_alive;
    errors.read_without_waiting();
    const auto number = [](const UniqueFd& fd) { return std::to_string(fd.get()); };
    helper_.emplace(Child::start_helper(
        {program, "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox",
         "--enable-seccomp", "--netns-type=path", "--ready-fd=" + number(ready.write_end),
         "--exit-fd=" + number(keep_alive.read_end),
         "/proc/self/fd/" + std::to_string(namespace_fd), "eth0"},
        {.err = errors.write_end.get()},
        {ready.write_end.get(), keep_alive.read_end.get(), namespace_fd}));
    ready_ = std::move(ready.read_end);
    errors_ = std::move(errors.read_end);
    keep_alive_ = std::move(keep_alive.write_end);
}

void UserModeNetwork::wait_ready() {
    if (!ready_) return;
    char byte = 0;
    ssize_t count = 0;
    do
        count = ::read(ready_.get(), &byte, 1);
    while (count < 0 && errno == EINTR);
    if (count == 1) return ready_.reset();
    char text[512];
    const ssize_t length = ::read(errors_.get(), text, sizeof text);
    std::string message(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    while (!message.empty() && message.back() == '\n')
        message.pop_back();
    fail(ErrorKind::System, "slirp4netns could not connect the container: " +
                                (message.empty() ? "it ended silently" : message));
}

bool UserModeNetwork::is_running() const {
    pollfd ended{helper_->pid_fd(), POLLIN, 0};
    return ::poll(&ended, 1, 0) == 0;
}

std::unique_ptr<ConnectedNetwork> NetworkPool::take() {
    std::unique_ptr<ConnectedNetwork> network;
    {
        const std::lock_guard lock(mutex_);
        if (!idle_.empty()) {
            network = std::move(idle_.back());
            idle_.pop_back();
        }
    }
    if (network && network->helper.is_running()) return network;
    return std::make_unique<ConnectedNetwork>(program_);
}

void NetworkPool::give_back(std::unique_ptr<ConnectedNetwork> network) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(network));
}

std::string container_resolv_conf(std::string_view host_text, Network network) {
    if (network != Network::Private) return std::string(host_text);
    std::string text;
    bool named = false, forwarder_named = false;
    for (std::string_view rest = host_text; !rest.empty();) {
        const auto end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        const std::string_view server = nameserver_of(line);
        named = named || !server.empty();
        if (!is_loopback(server)) {
            text.append(line).push_back('\n');
        } else if (!forwarder_named) {
            text.append("nameserver ").append(kForwarder).push_back('\n');
            forwarder_named = true;
        }
    }
    if (!named) text.append("nameserver ").append(kForwarder).push_back('\n');
    return text;
}

std::string default_resolv_conf(Network network) {
    std::string host_text;
    try {
        host_text = read_file("/etc/resolv.conf", 1 << 20);
    } catch (const Error&) {  // a host without resolver configuration is an ordinary machine
    }
    return container_resolv_conf(host_text, network);
}

std::string default_hosts(const std::string& hostname) {
    return "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n";
}

}  // namespace shale::sandbox
