// shale login: credentials for a registry, kept where docker keeps its own.
//
// They are tried before they are kept. What is typed at a terminal is not shown.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "input.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/registry.hpp>

#include <termios.h>
#include <unistd.h>

#include <memory>
#include <optional>

namespace shale::cli {

namespace {

constexpr std::size_t kMaxSecretBytes = 64 << 10;
// What Ctrl-C, Ctrl-D and the keys that erase type.
constexpr char kInterrupt = 3, kEndOfInput = 4, kBackspace = 8, kDelete = 127;

struct Flags {
    std::string server, username, password;
    bool password_stdin = false;
};

std::string piped_password() {
    auto text = read_input("-", kMaxSecretBytes);
    while (text.ends_with('\n') || text.ends_with('\r'))
        text.pop_back();
    return text;
}

// The terminal as it was, whatever happens.
class WithoutEcho {
  public:
    WithoutEcho() {
        if (::tcgetattr(STDIN_FILENO, &before_) != 0) throw_errno("tcgetattr", "terminal");
        auto silent = before_;
        // Key by key: a signal would end the program before the terminal is as it was.
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG | ICANON);
        silent.c_cc[VMIN] = 1;
        silent.c_cc[VTIME] = 0;
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    WithoutEcho(const WithoutEcho&) = delete;
    WithoutEcho& operator=(const WithoutEcho&) = delete;
    ~WithoutEcho() { ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_); }

  private:
    termios before_{};
};

// One line of the terminal.
std::string ask(std::string_view prompt) {
    write_all(STDERR_FILENO, as_bytes(prompt), "terminal");
    std::string line;
    for (char c = 0; line.size() < kMaxSecretBytes;) {
        const auto count = ::read(STDIN_FILENO, &c, 1);
        if (count < 0) throw_errno("read", "terminal");
        if (count == 0 || c == '\n' || c == '\r' || c == kEndOfInput) break;
        if (c == kInterrupt) fail(ErrorKind::Cancelled, "interrupted");
        if (c != kBackspace && c != kDelete)
            line.push_back(c);
        else if (!line.empty())
            line.pop_back();
    }
    return line;
}

registry::Credential wanted(const Flags& flags) {
    registry::Credential credential{flags.username, flags.password, {}};
    const bool can_ask = is_terminal(STDIN_FILENO) && !flags.password_stdin;
    if (credential.username.empty() && can_ask) credential.username = ask("Username: ");
    if (flags.password_stdin) credential.password = piped_password();
    if (credential.password.empty() && can_ask) {
        const WithoutEcho silence;
        credential.password = ask("Password: ");
        write_all(STDERR_FILENO, as_bytes(std::string_view("\n")), "terminal");
    }
    if (credential.username.empty() || credential.password.empty())
        fail(ErrorKind::Invalid,
             "a name and a password are needed: -u NAME --password-stdin, or a terminal");
    if (credential.username.find(':') != std::string::npos)
        fail(ErrorKind::Invalid, "a user's name has no colon");
    return credential;
}

void try_out(const std::string& domain, const registry::Credential& credential,
             std::stop_token stop) {
    auto options = registry::load_options();
    options.stop = std::move(stop);
    options.credentials = [&](const std::string& asked) {
        return asked == domain ? std::optional(credential) : std::nullopt;
    };
    registry::Client(std::move(options)).check_access(domain);
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.password_stdin && !flags.password.empty())
        fail(ErrorKind::Invalid, "--password and --password-stdin: one or the other");
    const auto domain = registry::domain_of(flags.server);
    const bool is_told = !flags.username.empty() || flags.password_stdin;
    const auto known = is_told ? std::nullopt : registry::known_credential(domain);
    if (known) {
        print_note("trying the credentials that are there");
        try_out(domain, *known, workspace.stop());
        print_result("Login Succeeded\n");
        return kOk;
    }
    const auto credential = wanted(flags);
    try_out(domain, credential, workspace.stop());
    const auto place = registry::store_credential(domain, credential);
    if (place.starts_with('/'))
        print_note("the password is in " + place +
                   ", which is not encrypted; a credential helper keeps it better");
    print_result("Login Succeeded\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "SERVER", flags->server,
                 "The registry, such as ghcr.io (default Docker Hub)");
    add_value(app, "-u,--username", flags->username, "NAME", "The user");
    add_value(app, "-p,--password", flags->password, "PASSWORD",
              "The password or token; other users of this machine can see it here");
    add_switch(app, "--password-stdin", flags->password_stdin, "Take it from standard input");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& login_command() {
    static const Command command = {
        .name = "login",
        .group = "Images",
        .summary = "Keep credentials for a registry",
        .usage = "[OPTIONS] [SERVER]",
        .details =
            "Tries them, and keeps them where `docker login` does: with the credential helper that "
            "docker's config.json names, else in that file. Docker uses what shale keeps, and the "
            "other way round; what `podman login` keeps is found as well.",
        .examples = {{"echo $TOKEN | shale login -u me --password-stdin ghcr.io", "From a script"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
