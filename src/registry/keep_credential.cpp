// What `docker login` and `docker logout` do to Docker's config.json.
#include "base64.hpp"
#include "config_file.hpp"
#include "helper.hpp"

#include <shale/registry.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <system_error>

namespace shale::registry {

namespace {

using Document = nlohmann::ordered_json;

// What Docker's file is to become; whoever holds it may be asked for passwords, so it is the
// user's alone.
void write_config(const std::string& path, const Document& document) {
    const auto slash = path.rfind('/');
    if (slash != std::string::npos) make_directories(path.substr(0, slash), 0700);
    std::error_code error;  // a link to it stays one
    const auto target = std::filesystem::canonical(path, error).string();
    write_file_atomic(error ? path : target, as_bytes(document.dump(2) + "\n"), 0600);
}

Document read_document(const std::string& path) {
    if (!path_exists(path)) return {{"auths", Document::object()}};
    docker_config();  // says what is wrong with it
    auto document = Document::parse(read_file(path, kMaxConfigFile), nullptr, false);
    if (!document.is_object()) fail(ErrorKind::Corrupt, path + ": no JSON object");
    auto& auths = document["auths"];
    if (auths.is_null()) auths = Document::object();
    if (!auths.is_object()) fail(ErrorKind::Corrupt, path + ": auths: no JSON object");
    return document;
}

std::string required_config_path() {
    auto path = config_path();
    if (path.empty())
        fail(ErrorKind::NotFound, "there is no place for credentials: neither $DOCKER_CONFIG nor "
                                  "$HOME is set");
    return path;
}

}  // namespace

std::string store_credential(const std::string& domain, const Credential& credential) {
    const auto path = required_config_path();
    auto document = read_document(path);
    const auto server = server_of(domain);
    const auto config = docker_config();
    const auto helper = config ? helper_for(*config, domain) : std::string();
    auto& entry = document["auths"][server];
    if (helper.empty()) {
        entry = {{"auth", encode_base64(credential.username + ":" + credential.password)}};
        write_config(path, document);
        return path;
    }
    const Document secret = {
        {"ServerURL", server}, {"Username", credential.username}, {"Secret", credential.password}};
    if (!run_credential_helper(helper, "store", secret.dump()))
        fail(ErrorKind::NotFound, "docker-credential-" + helper + " is not installed");
    entry = Document::object();  // as docker marks that the helper has it
    write_config(path, document);
    return "docker-credential-" + helper;
}

bool erase_credential(const std::string& domain) {
    const auto path = required_config_path();
    auto document = read_document(path);
    const auto config = docker_config();
    const auto helper = config ? helper_for(*config, domain) : std::string();
    if (!helper.empty()) run_credential_helper(helper, "erase", server_of(domain));
    bool any = !helper.empty(), is_changed = false;
    auto& auths = document["auths"];
    for (auto entry = auths.begin(); entry != auths.end();) {
        if (is_of_a_part(entry.key()) || host_of_server(entry.key()) != domain) {
            ++entry;
            continue;
        }
        entry = auths.erase(entry);
        any = is_changed = true;
    }
    if (is_changed) write_config(path, document);
    return any;
}

}  // namespace shale::registry
