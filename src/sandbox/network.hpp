// Network namespaces and the helper that connects one to the outside.
#pragma once

#include "spawn.hpp"

#include <shale/base.hpp>
#include <shale/sandbox.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::sandbox {

// A fresh network namespace with its loopback interface up. Lives as long as the descriptor.
UniqueFd make_network_namespace();

// slirp4netns serving one namespace: an ordinary process that turns the namespace's packets into
// sockets of the host. The constructor starts it; wait_ready() must return before the namespace is
// used. Destruction ends it, and so does the end of our process, however it comes.
class UserModeNetwork {
  public:
    // `program` is the path of slirp4netns.
    UserModeNetwork(const std::string& program, int namespace_fd);
    // Throws with the helper's own words if it ends instead of becoming ready. Returns at once when
    // called again.
    void wait_ready();
    bool is_running() const;

  private:
    UniqueFd ready_, errors_, keep_alive_;
    std::optional<Child> helper_;
};

// A namespace that can reach out.
struct ConnectedNetwork {
    explicit ConnectedNetwork(const std::string& program)
        : space(make_network_namespace()), helper(program, space.get()) {}
    UniqueFd space;
    UserModeNetwork helper;
};

// Connected namespaces between their uses. Starting a helper and ending it costs about as much as a
// whole container, and a step without CAP_NET_ADMIN cannot change anything in its namespace that
// outlives its processes; so a namespace serves one step after another, never two at once. Safe
// from any thread.
class NetworkPool {
  public:
    explicit NetworkPool(std::string program) : program_(std::move(program)) {}
    // False: there is no helper program, take() must not be called.
    bool can_connect() const { return !program_.empty(); }
    // An idle one or a new one; a new one may not be ready yet.
    std::unique_ptr<ConnectedNetwork> take();
    void give_back(std::unique_ptr<ConnectedNetwork> network);

  private:
    const std::string program_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<ConnectedNetwork>> idle_;
};

// The host's resolv.conf as a container of `network` must see it.
std::string container_resolv_conf(std::string_view host_text, Network network);

}  // namespace shale::sandbox
