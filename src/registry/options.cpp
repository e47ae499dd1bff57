// The configuration file: which mirrors to ask, and whom to trust without TLS.

#include <shale/registry.hpp>

#include <cstdlib>

namespace shale::registry {
namespace {

constexpr std::uint64_t kMaxConfigFile = 1 << 20;
constexpr const char* kSystemConfig = "/etc/shale/config.json";

std::string user_config_path() {
    const char* folder = std::getenv("XDG_CONFIG_HOME");
    if (folder != nullptr && *folder == '/') return join_path(folder, "shale/config.json");
    const char* home = std::getenv("HOME");
    return home == nullptr ? std::string() : join_path(home, ".config/shale/config.json");
}

void read_mirrors(const oci::Json& member, Options& out) {
    for (const auto& [domain, list] : member.members()) {
        std::vector<std::string> urls;
        for (const auto& item : list.items()) {
            urls.push_back(item.string());
            http::Url::parse(urls.back(),
                             "mirror \"" + http::without_password(urls.back()) + "\" of " + domain);
        }
        out.mirrors[domain] = std::move(urls);
    }
}

void read_options(const oci::Json& document, Options& out) {
    for (const auto& [name, member] : document.members()) {
        if (name == "mirrors") {
            read_mirrors(member, out);
        } else if (name == "insecure-registries") {
            out.insecure.clear();
            for (const auto& item : member.items())
                out.insecure.push_back(item.string());
        } else {
            fail(ErrorKind::Invalid,
                 "unknown key \"" + name + "\"; known are mirrors and insecure-registries");
        }
    }
}

void read_file_into(const std::string& path, Options& out) {
    const std::string text = read_file(path, kMaxConfigFile);
    try {
        read_options(oci::Json::parse(text, "configuration"), out);
    } catch (const Error& error) {
        // Whatever the matter is, it is the user's file that must change.
        fail(ErrorKind::Invalid, path + ": " + error.what());
    }
}

}  // namespace

Options load_options() {
    Options out;
    if (const char* path = std::getenv("SHALE_CONFIG"); path != nullptr && *path != '\0') {
        read_file_into(path, out);
        return out;
    }
    for (const std::string& path : {std::string(kSystemConfig), user_config_path()})
        if (!path.empty() && path_exists(path)) read_file_into(path, out);
    return out;
}

}  // namespace shale::registry
