// What pulling and pushing share: endpoints of a reference, requests for it, and the errors that a
// registry's refusals become.
#pragma once

#include "session.hpp"

#include <set>

namespace shale::registry {

struct Client::State {
    State(Options given, std::unique_ptr<HttpTransport> given_transport);

    Endpoint registry_of(const oci::Reference& name) const;
    // Mirrors that have not failed yet, in the order given.
    std::vector<Endpoint> mirrors_of(const oci::Reference& name);
    void give_up_on(const Endpoint& mirror, const Error& why);

    // Tries every mirror, then the registry. A mirror that lacks, denies or breaks is passed over
    // as long as `may_move_on()`; trouble at home (a full disk, a cancelled build) ends the matter.
    template <typename Attempt, typename MayMoveOn>
    auto from_any_endpoint(const oci::Reference& name, Attempt&& attempt, MayMoveOn&& may_move_on);

    Options options;
    std::unique_ptr<HttpTransport> transport;
    Session session;

  private:
    std::mutex mutex_;
    std::set<std::string> lost_mirrors_;  // by base URL
};

// "/v2/<repository>/<tail>" at an endpoint.
Url url_of(const Endpoint& endpoint, const oci::Reference& name, const std::string& tail);
std::vector<std::string> pull_scopes(const oci::Reference& name);
std::vector<std::string> push_scopes(const oci::Reference& name);

// Turns a refused request into the error that the user should see. `absent` is what a 404 means:
// "docker.io/library/x:latest: not found".
[[noreturn]] void refuse_pull(const oci::Reference& name, const Request& request,
                              const Reply& reply, const std::string& absent);
[[noreturn]] void refuse_push(const oci::Reference& name, const Request& request,
                              const Reply& reply);

template <typename Attempt, typename MayMoveOn>
auto Client::State::from_any_endpoint(const oci::Reference& name, Attempt&& attempt,
                                      MayMoveOn&& may_move_on) {
    std::string trouble;
    for (const auto& mirror : mirrors_of(name)) {
        try {
            return attempt(mirror);
        } catch (const Error& error) {  // the next endpoint may do better
            const bool is_remote =
                error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::Denied ||
                error.kind() == ErrorKind::Network || error.kind() == ErrorKind::Corrupt;
            if (!is_remote || !may_move_on()) throw;
            if (error.kind() == ErrorKind::Network) give_up_on(mirror, error);
            trouble += "; mirror " + mirror.base.str() + ": " + error.what();
        }
    }
    try {
        return attempt(registry_of(name));
    } catch (const Error& error) {  // says what the mirrors said, too
        if (trouble.empty()) throw;
        throw Error(error.kind(), error.what() + trouble, error.sys_errno());
    }
}

}  // namespace shale::registry
