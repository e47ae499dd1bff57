#include "config_file.hpp"

#include <shale/registry.hpp>

#include <cstdlib>

namespace shale::registry {

namespace {

constexpr std::string_view kHub = "docker.io";
// The key under which `docker login` without an argument stores.
constexpr std::string_view kHubServer = "https://index.docker.io/v1/";

}  // namespace

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : value;
}

std::string text_of(const oci::Json& object, const std::string& name) {
    const auto member = object.find(name);
    return member ? member->string() : std::string();
}

std::string config_path() {
    if (const auto folder = variable("DOCKER_CONFIG"); !folder.empty())
        return join_path(folder, "config.json");
    const auto home = variable("HOME");
    return home.empty() ? std::string() : join_path(home, ".docker/config.json");
}

std::string host_of_server(std::string_view server) {
    if (const auto scheme = server.find("://"); scheme != std::string_view::npos)
        server.remove_prefix(scheme + 3);
    const std::string_view host = server.substr(0, server.find('/'));
    const bool is_hub = host == "index.docker.io" || host == "registry-1.docker.io";
    return std::string(is_hub ? kHub : host);
}

// "quay.io/team": auth.json may tell the repositories of a registry apart, which we do not. Docker
// writes paths only behind a scheme.
bool is_of_a_part(std::string_view server) {
    return server.find("://") == std::string_view::npos &&
           server.find('/') != std::string_view::npos;
}

std::string server_of(const std::string& domain) {
    return domain == kHub ? std::string(kHubServer) : domain;
}

std::string helper_for(const oci::Json& config, const std::string& domain) {
    if (const auto helpers = config.find("credHelpers"))
        for (const auto& [server, name] : helpers->members())
            if (!is_of_a_part(server) && host_of_server(server) == domain) return name.string();
    return text_of(config, "credsStore");
}

std::optional<oci::Json> docker_config() {
    const std::string path = config_path();
    if (path.empty() || !path_exists(path)) return std::nullopt;
    return read_json(path);
}

oci::Json read_json(const std::string& path) {
    return oci::Json::parse(read_file(path, kMaxConfigFile), path);
}

std::string domain_of(std::string_view server) {
    return server.empty() ? std::string(kHub) : host_of_server(server);
}

}  // namespace shale::registry
