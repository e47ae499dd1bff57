#include "git_program.hpp"

#include "process.hpp"

#include <shale/caller.hpp>

#include <algorithm>
#include <cstdlib>

namespace shale::remote {
namespace {

// Settings that no repository may overrule. They travel in the environment, which submodules and
// helpers of git inherit, and where a token is not seen by everybody who can list processes.
std::vector<std::pair<std::string, std::string>> settings() {
    return {{"core.hooksPath", "/dev/null"},
            {"core.fsmonitor", "false"},
            {"core.symlinks", "true"},
            {"core.autocrlf", "false"},
            {"advice.detachedHead", "false"},
            {"init.defaultBranch", "main"},
            {"gc.auto", "0"},
            {"maintenance.auto", "false"},
            {"credential.helper", ""},
            // The directories are ours, whoever the store belongs to.
            {"safe.directory", "*"}};
}

// "https://host:port/", which git matches against the URLs it asks.
std::string origin_of(const std::string& remote) {
    const auto start = remote.find("://");
    if (start == std::string::npos || !is_http_url(remote)) return {};
    const auto authority = remote.substr(start + 3, remote.find('/', start + 3) - start - 3);
    return remote.substr(0, start + 3) + authority.substr(authority.rfind('@') + 1) + "/";
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
    return text;
}

// User and password of a URL, as they may turn up in messages.
std::string secret_of(const std::string& remote) {
    const auto start = remote.find("://");
    if (start == std::string::npos) return {};
    const auto authority = remote.substr(start + 3, remote.find('/', start + 3) - start - 3);
    const auto at = authority.rfind('@');
    return at == std::string::npos ? std::string() : authority.substr(0, at + 1);
}

// ssh asks the system where the user lives. In a user namespace he is root by number, but the hosts
// that he knows are in his own home. A path that a shell or ssh would take apart is not passed on:
// ssh then knows no host yet.
std::string known_hosts() {
    const char* const home = std::getenv("HOME");
    if (!in_user_namespace() || !home || *home != '/') return {};
    constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    const std::string path = join_path(home, ".ssh/known_hosts");
    if (path.find_first_not_of(kPlain) != std::string::npos) return {};
    return " -o UserKnownHostsFile=" + path;
}

std::string ssh_command(const std::string& agent) {
    std::string command = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new";
    command += known_hosts();
    // Without leave, a Dockerfile must not use the keys of whoever runs the build.
    if (agent.empty())
        command += " -o IdentitiesOnly=yes -o IdentityFile=/dev/null -o IdentityAgent=none";
    return command;
}

}  // namespace

GitProgram::GitProgram(std::string remote, const GitAccess& access, std::stop_token stop)
    : remote_(std::move(remote)), access_(access), stop_(std::move(stop)) {}

std::vector<std::string> GitProgram::environment() const {
    std::vector<std::string> out = {"GIT_TERMINAL_PROMPT=0",
                                    "GIT_CONFIG_NOSYSTEM=1",
                                    "GIT_CONFIG_GLOBAL=/dev/null",
                                    "GIT_ATTR_NOSYSTEM=1",
                                    "GIT_ALLOW_PROTOCOL=http:https:git:ssh",
                                    "GIT_LFS_SKIP_SMUDGE=1",
                                    "GIT_OPTIONAL_LOCKS=0",
                                    "HOME=/dev/null",
                                    "LC_ALL=C",
                                    "GIT_SSH_COMMAND=" + ssh_command(access_.ssh_agent)};
    for (const char* name : {"PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
                             "http_proxy", "https_proxy", "no_proxy", "all_proxy"})
        if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
    if (const char* bundle = std::getenv("SSL_CERT_FILE"))
        out.push_back(std::string("GIT_SSL_CAINFO=") + bundle);
    if (!access_.ssh_agent.empty()) out.push_back("SSH_AUTH_SOCK=" + access_.ssh_agent);
    auto all = settings();
    if (const auto origin = origin_of(remote_); !access_.authorization.empty() && !origin.empty()) {
        all.emplace_back("http." + origin + ".extraHeader",
                         "Authorization: " + access_.authorization);
        // git would send the header on to wherever the host redirects.
        all.emplace_back("http.followRedirects", "false");
    }
    out.push_back("GIT_CONFIG_COUNT=" + std::to_string(all.size()));
    for (std::size_t i = 0; i < all.size(); ++i) {
        out.push_back("GIT_CONFIG_KEY_" + std::to_string(i) + "=" + all[i].first);
        out.push_back("GIT_CONFIG_VALUE_" + std::to_string(i) + "=" + all[i].second);
    }
    return out;
}

GitProgram::Answer GitProgram::try_run(const std::string& directory,
                                       std::vector<std::string> arguments,
                                       const std::vector<std::string>& variables) const {
    Command command;
    command.argv = {"git", "-C", directory};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = environment();
    // The first of equal names counts, so what is special comes first.
    command.environment.insert(command.environment.begin(), variables.begin(), variables.end());
    command.stop = stop_;
    Finished finished;
    try {
        finished = remote::run(command);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::NotFound) throw;
        fail(ErrorKind::Unsupported,
             shown_remote() + " needs the program git, which is not installed");
    }
    Answer answer{finished.status == 0, std::move(finished.output), std::move(finished.complaint)};
    while (answer.output.ends_with('\n'))
        answer.output.pop_back();
    if (const auto secret = secret_of(remote_); !secret.empty())
        answer.complaint = replace_all(answer.complaint, secret, "***@");
    return answer;
}

void GitProgram::report(const Answer& answer) const {
    // git ends with what matters, after pages of progress.
    std::string text = answer.complaint;
    while (text.ends_with('\n'))
        text.pop_back();
    constexpr std::size_t kMaxShown = 1000;
    if (text.size() > kMaxShown) text = "..." + text.substr(text.size() - kMaxShown);
    fail(ErrorKind::Network, "failed to fetch remote " + shown_remote() +
                                 ": git: " + (text.empty() ? "failed without a word" : text));
}

std::string GitProgram::run(const std::string& directory, std::vector<std::string> arguments,
                            const std::vector<std::string>& variables) const {
    auto answer = try_run(directory, std::move(arguments), variables);
    if (!answer.success) report(answer);
    return std::move(answer.output);
}

}  // namespace shale::remote
