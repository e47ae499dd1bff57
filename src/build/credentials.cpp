#include "credentials.hpp"

#include "secrets.hpp"

#include <cstdlib>

namespace shale::build {
namespace {

// "host" or "host:port" of a URL, without user and password; of git@host:path, the host.
std::string host_of(std::string_view remote) {
    const auto scheme = remote.find("://");
    if (scheme == std::string_view::npos) {
        const auto at = remote.find('@');
        return std::string(remote.substr(at + 1, remote.find(':') - at - 1));
    }
    const auto authority =
        remote.substr(scheme + 3, remote.find_first_of("/?#", scheme + 3) - scheme - 3);
    return std::string(authority.substr(authority.rfind('@') + 1));
}

// A secret as the value of a header: files end in newlines, headers must not.
std::string header_secret(const Request& request, const std::string& id) {
    auto value = find_secret(request.secrets, id).value_or("");
    while (value.ends_with('\n') || value.ends_with('\r') || value.ends_with(' '))
        value.pop_back();
    if (value.find_first_of("\r\n") != std::string::npos)
        fail(ErrorKind::Invalid, "secret " + id + " holds more than one line");
    return value;
}

std::string git_authorization(const Request& request, const std::string& host) {
    for (const std::string& suffix : {"." + host, std::string()}) {
        if (auto header = header_secret(request, "GIT_AUTH_HEADER" + suffix); !header.empty())
            return header;
        if (auto token = header_secret(request, "GIT_AUTH_TOKEN" + suffix); !token.empty())
            return "basic " + remote::encode_base64("x-access-token:" + token);
    }
    return {};
}

}  // namespace

std::string http_authorization(const Request& request, const std::string& url) {
    const auto host = host_of(url);
    if (auto header = header_secret(request, "HTTP_AUTH_HEADER_" + host); !header.empty())
        return header;
    if (auto token = header_secret(request, "HTTP_AUTH_TOKEN_" + host); !token.empty())
        return "Bearer " + token;
    return {};
}

remote::GitAccess git_access(const Request& request, const remote::GitReference& reference,
                             NamedBy named_by) {
    remote::GitAccess access;
    if (remote::is_http_url(reference.remote)) {
        access.authorization = git_authorization(request, host_of(reference.remote));
        return access;
    }
    const char* agent = std::getenv("SSH_AUTH_SOCK");
    for (const auto& source : request.ssh)
        if (source.id == "default") access.ssh_agent = source.socket;
    if (access.ssh_agent.empty() && named_by == NamedBy::CommandLine && agent)
        access.ssh_agent = agent;
    return access;
}

}  // namespace shale::build
