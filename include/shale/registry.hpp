// registry: a client of the OCI distribution protocol (v2): resolve, pull, push, authentication.
//
// Knows nothing of the store: blobs go into sinks and come out of sources. Digests and sizes are
// verified while bytes stream; a mismatch is Corrupt and names both digests. Transient failures are
// retried with back-off, an interrupted download resumes with a Range request. Plain HTTP is used
// only for loopback registries and those configured insecure.
//
// One Client may be used from many threads. Protocol: opencontainers/distribution-spec 1.1.
#pragma once

#include <shale/base.hpp>
#include <shale/http.hpp>
#include <shale/oci.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::registry {

using HttpRequest = http::Request;
using HttpResponse = http::Response;
using HttpTransport = http::Transport;

struct Credential {
    std::string username, password;
    std::string identity_token;
};

struct Options {
    // Mirrors per registry domain, tried in order before the registry itself when pulling:
    // "docker.io" -> {"http://127.0.0.1:5000"}. A mirror is asked for the full repository path
    // (library/node); one that cannot be reached is not asked again by the same Client.
    std::map<std::string, std::vector<std::string>> mirrors;
    std::vector<std::string> insecure;  // domains that may be plain HTTP
    // Looked up per domain; default is known_credential().
    std::function<std::optional<Credential>(const std::string& domain)> credentials;
    int attempts = 4;  // of each request, before a transient failure is final
    // Waits between attempts; tests replace it. Null sleeps, until the time or a stop request.
    std::function<void(std::chrono::milliseconds)> sleep{};
    std::stop_token stop{};  // ends every call, transfers included, with Cancelled
};
// /etc/shale/config.json then $XDG_CONFIG_HOME/shale/config.json (later wins), $SHALE_CONFIG
// instead of both. Keys: "mirrors": {domain: [url...]}, "insecure-registries": [domain...]. Unknown
// keys are Invalid, with the file's name.
Options load_options();
// From the first file that knows the domain, by its credHelpers, credsStore and auths:
// $REGISTRY_AUTH_FILE; Docker's ($DOCKER_CONFIG/config.json, else ~/.docker/config.json); those of
// podman, buildah and skopeo (containers/auth.json in $XDG_RUNTIME_DIR,
// /run/containers/UID/auth.json, containers/auth.json in $XDG_CONFIG_HOME or ~/.config), of which
// damaged ones are passed over. What a file has for a part of a registry is not used. nullopt if
// none knows it.
std::optional<Credential> known_credential(const std::string& domain);
// Of what people call a registry ("https://ghcr.io/", "index.docker.io", nothing for Docker Hub),
// the domain that names begin with.
std::string domain_of(std::string_view server);
// Keeps a credential as `docker login` does: by the helper that Docker's config.json names for the
// domain, else in that file, which is the user's alone. What else it holds stays. Returns where:
// the helper's program, or the file. Denied if the helper refuses, NotFound if it is not installed.
std::string store_credential(const std::string& domain, const Credential& credential);
// The opposite; false if there was none in the file, and no helper to ask.
bool erase_credential(const std::string& domain);
// The default proxies of Docker's file, which docker gives to every build: "HTTP_PROXY" -> URL.
std::map<std::string, std::string> docker_proxies();

struct RemoteManifest {
    oci::Descriptor descriptor;
    std::string json;  // verified against descriptor.digest
};

class Client {
  public:
    Client(Options options, std::unique_ptr<HttpTransport> transport = http::curl_transport());
    ~Client();

    // NotFound: "docker.io/library/x:latest: not found"; Denied: "pull access denied ...".
    // Returns the manifest or index as the registry serves it.
    RemoteManifest fetch_manifest(const oci::Reference& name);
    // Streams the blob into `sink`; the sink sees every byte once, in order. What the sink throws
    // ends the download and passes through. Bytes must not be trusted before this returns.
    void fetch_blob(const oci::Reference& name, const oci::Descriptor& blob,
                    const std::function<void(Bytes)>& sink);
    // Fills `out` from `offset` with one request for exactly that range. Nothing verifies it: the
    // digest is one of the whole blob. Unsupported if the registry answers with anything else.
    void fetch_range(const oci::Reference& name, const oci::Descriptor& blob, std::uint64_t offset,
                     MutableBytes out);

    // Asks the registry, not a mirror of it, for nothing. Denied if it does not take the
    // credentials, or wants some and there are none.
    void check_access(const std::string& domain);

    bool has_blob(const oci::Reference& name, const Digest& blob);
    // `open` is called once per attempt and gives the bytes from the start. `mount_from`:
    // repository of the same registry that may hold the blob already ("" for none). Returns false
    // if the registry had it (or mounted it) and nothing was sent.
    bool push_blob(const oci::Reference& name, const oci::Descriptor& blob,
                   const std::function<std::function<std::size_t(MutableBytes)>()>& open,
                   const std::string& mount_from = {});
    void push_manifest(const oci::Reference& name, const oci::Descriptor& descriptor,
                       const std::string& json);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::registry
