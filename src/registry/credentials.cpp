// Stored credentials: Docker's config.json, the auth.json of podman, buildah and skopeo
// (containers-auth.json(5)), which has the same form, and the helper programs that they name; and
// the proxies that Docker's has for builds.
#include "base64.hpp"
#include "config_file.hpp"
#include "helper.hpp"

#include <shale/caller.hpp>
#include <shale/registry.hpp>

#include <vector>

namespace shale::registry {
namespace {

// Podman's, in the order in which they are asked.
std::vector<std::string> podman_files() {
    std::vector<std::string> files;
    if (const auto folder = variable("XDG_RUNTIME_DIR"); !folder.empty())
        files.push_back(join_path(folder, "containers/auth.json"));
    files.push_back("/run/containers/" + std::to_string(outer_uid()) + "/auth.json");
    auto folder = variable("XDG_CONFIG_HOME");
    if (const auto home = variable("HOME"); folder.empty() && !home.empty())
        folder = join_path(home, ".config");
    if (!folder.empty()) files.push_back(join_path(folder, "containers/auth.json"));
    std::erase_if(files, [](const auto& file) { return !path_exists(file); });
    return files;
}

// "auth": base64 of "user:password".
Credential decode_entry(const oci::Json& entry) {
    Credential out{text_of(entry, "username"), text_of(entry, "password"),
                   text_of(entry, "identitytoken")};
    const auto encoded = entry.find("auth");
    if (!encoded || encoded->string().empty()) return out;
    auto pair = decode_base64(encoded->string());
    if (!pair) encoded->corrupt("not base64");
    const auto colon = pair->find(':');
    if (colon == std::string::npos) encoded->corrupt("not base64 of \"user:password\"");
    out.username = pair->substr(0, colon);
    out.password = pair->substr(colon + 1);
    while (out.password.ends_with('\0'))  // some writers pad with zero bytes
        out.password.pop_back();
    return out;
}

bool is_empty(const Credential& credential) {
    return credential.username.empty() && credential.identity_token.empty();
}

std::optional<Credential> stored_credential(const oci::Json& config, const std::string& domain) {
    const auto auths = config.find("auths");
    if (!auths) return std::nullopt;
    for (const auto& [server, entry] : auths->members()) {
        if (is_of_a_part(server) || host_of_server(server) != domain) continue;
        // `docker login` with a helper leaves an empty entry behind as a marker.
        if (auto credential = decode_entry(entry); !is_empty(credential)) return credential;
    }
    return std::nullopt;
}

std::optional<Credential> helper_credential(const std::string& helper, const std::string& domain) {
    const auto answer = run_credential_helper(helper, "get", server_of(domain));
    if (!answer) return std::nullopt;
    const auto document = oci::Json::parse(*answer, "credential helper " + helper);
    const std::string username = text_of(document, "Username"),
                      secret = text_of(document, "Secret");
    // The helpers' way to say that the secret is a token and not a password.
    if (username == "<token>") return Credential{{}, {}, secret};
    return Credential{username, secret, {}};
}

}  // namespace

std::optional<Credential> known_credential(const std::string& domain) {
    const auto ask = [&](const oci::Json& config) -> std::optional<Credential> {
        if (const auto helper = helper_for(config, domain); !helper.empty())
            if (auto credential = helper_credential(helper, domain); credential) return credential;
        return stored_credential(config, domain);
    };
    // One that somebody names must be there.
    if (const auto named = variable("REGISTRY_AUTH_FILE"); !named.empty())
        if (auto credential = ask(read_json(named)); credential) return credential;
    if (const auto config = docker_config())
        if (auto credential = ask(*config); credential) return credential;
    for (const auto& file : podman_files())
        try {
            if (auto credential = ask(read_json(file)); credential) return credential;
        } catch (const Error& error) {  // nobody said that it is to be used
            log(LogLevel::Warn,
                std::string("no credentials taken from podman's file: ") + error.what());
        }
    return std::nullopt;
}

std::map<std::string, std::string> docker_proxies() {
    static constexpr std::pair<const char*, const char*> kNames[] = {{"httpProxy", "HTTP_PROXY"},
                                                                     {"httpsProxy", "HTTPS_PROXY"},
                                                                     {"ftpProxy", "FTP_PROXY"},
                                                                     {"noProxy", "NO_PROXY"},
                                                                     {"allProxy", "ALL_PROXY"}};
    std::map<std::string, std::string> found;
    const auto config = docker_config();
    const auto proxies = config ? config->find("proxies") : std::nullopt;
    const auto chosen = proxies ? proxies->find("default") : std::nullopt;
    if (!chosen) return found;
    for (const auto& [key, name] : kNames)
        if (auto value = text_of(*chosen, key); !value.empty()) found[name] = std::move(value);
    return found;
}

}  // namespace shale::registry
