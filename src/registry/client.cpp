// Endpoints and refusals. Which host serves a reference, how it is spoken to, and what its "no"
// means are decided here and nowhere else.
#include "client.hpp"

#include <algorithm>
#include <condition_variable>

namespace shale::registry {
namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubRegistry = "registry-1.docker.io";

bool is_insecure(const Options& options, const std::string& authority) {
    const auto& list = options.insecure;
    return is_loopback(host_of(authority)) ||
           std::find(list.begin(), list.end(), authority) != list.end();
}

Url base_url(const Options& options, const std::string& domain) {
    const std::string authority(domain == kHub ? kHubRegistry : std::string_view(domain));
    const std::string scheme = is_insecure(options, domain) ? "http://" : "https://";
    return Url::parse(scheme + authority, "registry " + domain);
}

// A registry that hides what it will not show answers 401 or 403 for what does not exist.
std::string access_denied(const std::string& action, const oci::Reference& name,
                          const Reply& reply) {
    oci::Reference repository{name.domain, name.repository, {}, {}};
    std::string out = action + " access denied for " + repository.familiar() +
                      ", repository does not exist or may require authorization";
    return reply.message.empty() ? out : out + ": server message: " + reply.message;
}

}  // namespace

Client::State::State(Options given, std::unique_ptr<HttpTransport> given_transport)
    : options(std::move(given)), transport(std::move(given_transport)),
      session(options, *transport) {
    if (!options.credentials) options.credentials = known_credential;
    if (!options.sleep)
        options.sleep = [stop = options.stop](std::chrono::milliseconds time) {
            std::mutex mutex;
            std::unique_lock lock(mutex);
            std::condition_variable_any().wait_for(lock, stop, time, [] { return false; });
        };
}

Endpoint Client::State::registry_of(const oci::Reference& name) const {
    return {name.domain, base_url(options, name.domain), false};
}

std::vector<Endpoint> Client::State::mirrors_of(const oci::Reference& name) {
    std::vector<Endpoint> out;
    const auto listed = options.mirrors.find(name.domain);
    if (listed == options.mirrors.end()) return out;
    const std::lock_guard lock(mutex_);
    for (const auto& text : listed->second) {
        Url base = Url::parse(text, "mirror \"" + without_password(text) + "\" of " + name.domain);
        while (base.path.ends_with('/'))
            base.path.pop_back();
        base.query.clear();
        if (!lost_mirrors_.contains(base.str()))
            out.push_back({base.authority, std::move(base), true});
    }
    return out;
}

void Client::State::give_up_on(const Endpoint& mirror, const Error& why) {
    {
        const std::lock_guard lock(mutex_);
        if (!lost_mirrors_.insert(mirror.base.str()).second) return;
    }
    log(LogLevel::Warn, "not using mirror " + mirror.base.str() + " any more: " + why.what());
}

Url url_of(const Endpoint& endpoint, const oci::Reference& name, const std::string& tail) {
    Url out = endpoint.base;
    out.path += "/v2/" + name.repository + "/" + tail;
    return out;
}

std::vector<std::string> pull_scopes(const oci::Reference& name) {
    return {"repository:" + name.repository + ":pull"};
}

std::vector<std::string> push_scopes(const oci::Reference& name) {
    return {"repository:" + name.repository + ":pull,push"};
}

void refuse_pull(const oci::Reference& name, const Request& request, const Reply& reply,
                 const std::string& absent) {
    if (reply.status == 401 || reply.status == 403)
        fail(ErrorKind::Denied, access_denied("pull", name, reply));
    if (reply.status == 404) fail(ErrorKind::NotFound, absent);
    fail(ErrorKind::Network, describe({request.method, request.url.str(), {}, nullptr, 0}, reply));
}

void refuse_push(const oci::Reference& name, const Request& request, const Reply& reply) {
    if (reply.status == 401 || reply.status == 403)
        fail(ErrorKind::Denied, access_denied("push", name, reply));
    const auto kind = reply.status == 404 ? ErrorKind::NotFound : ErrorKind::Network;
    fail(kind, describe({request.method, request.url.str(), {}, nullptr, 0}, reply));
}

Client::Client(Options options, std::unique_ptr<HttpTransport> transport)
    : state_(std::make_unique<State>(std::move(options), std::move(transport))) {}

Client::~Client() = default;

void Client::check_access(const std::string& domain) {
    const Endpoint endpoint{domain, base_url(state_->options, domain), false};
    Request request{"GET", endpoint.base, {}, {}, nullptr, 0};
    request.url.path += "/v2/";
    const Reply reply =
        with_retries(state_->options, [&] { return state_->session.perform(endpoint, request); });
    if (reply.success()) return;
    const bool is_denied = reply.status == 401 || reply.status == 403;
    if (!is_denied)
        fail(ErrorKind::Network,
             describe({request.method, request.url.str(), {}, nullptr, 0}, reply));
    fail(ErrorKind::Denied, domain + ": the registry does not take these credentials" +
                                (reply.message.empty() ? "" : ": " + reply.message));
}

}  // namespace shale::registry
