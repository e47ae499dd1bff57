// The readings are those of docker buildx: --secret and --ssh are checked as far as they can be
// before anything is built, a secret's file must exist, and a key given to --ssh must not be mixed
// with a socket.
#include "run_flags.hpp"

#include "flags.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>

namespace shale::cli {

namespace {

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (;;) {
        const auto at = text.find(separator);
        parts.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::optional<std::string> variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (!value) return std::nullopt;
    return std::string(value);
}

std::int64_t whole_number(const std::string& what, const std::string& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
        fail(ErrorKind::Invalid, what + ": \"" + text + "\" is no whole number");
    return value;
}

std::uint64_t positive_number(const std::string& what, const std::string& text) {
    const auto value = whole_number(what, text);
    if (value < 0) fail(ErrorKind::Invalid, what + ": \"" + text + "\" is negative");
    return static_cast<std::uint64_t>(value);
}

std::uint64_t size_in_bytes(const std::string& what, const std::string& text) {
    const auto size = dockerfile::parse_size(text);
    if (!size) fail(ErrorKind::Invalid, what + ": invalid size: '" + text + "'");
    return *size;
}

std::int64_t memory(const std::string& what, const std::string& text, bool may_be_unlimited) {
    if (may_be_unlimited && text == "-1") return -1;
    return static_cast<std::int64_t>(std::min<std::uint64_t>(
        size_in_bytes(what, text), std::numeric_limits<std::int64_t>::max()));
}

// One limit under its name in --resource, which is that of the flag of its own.
void set_resource(sandbox::Resources& resources, const std::string& key, const std::string& value) {
    const std::string what = "--" + key;
    if (key == "memory")
        resources.memory_bytes = memory(what, value, false);
    else if (key == "memory-swap")
        resources.memory_swap_bytes = memory(what, value, true);
    else if (key == "cpu-shares")
        resources.cpu_shares = positive_number(what, value);
    else if (key == "cpu-period")
        resources.cpu_period_us = positive_number(what, value);
    else if (key == "cpu-quota")
        resources.cpu_quota_us = whole_number(what, value);
    else if (key == "cpuset-cpus")
        resources.cpus = value;
    else if (key == "cpuset-mems")
        resources.memory_nodes = value;
    else {
        const std::vector<std::string> known = {"memory",     "memory-swap", "cpu-shares",
                                                "cpu-period", "cpu-quota",   "cpuset-cpus",
                                                "cpuset-mems"};
        const auto nearest = nearest_match(key, known);
        fail(ErrorKind::Invalid, "--resource: unknown key \"" + key + "\"" +
                                     (nearest.empty() ? "" : " (did you mean " + nearest + "?)"));
    }
}

// As docker run takes it: so many processors' time, of each tenth of a second.
void set_processors(sandbox::Resources& resources, const std::string& text) {
    constexpr std::uint64_t kPeriodUs = 100'000;
    constexpr double kLeast = 0.01, kMost = 1'000'000;
    double count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size() ||
        !(count >= kLeast && count <= kMost))
        fail(ErrorKind::Invalid,
             "--cpus: \"" + text + "\" is no number of processors, such as 1.5");
    if (resources.cpu_quota_us != 0 || resources.cpu_period_us != 0)
        fail(ErrorKind::Invalid, "--cpus cannot be used with --cpu-quota or --cpu-period");
    resources.cpu_period_us = kPeriodUs;
    resources.cpu_quota_us = static_cast<std::int64_t>(count * kPeriodUs);
}

// 0 and -1 are docker's words for no limit.
void set_processes(sandbox::Resources& resources, const std::string& text) {
    const auto count = whole_number("--pids-limit", text);
    if (count < -1) fail(ErrorKind::Invalid, "--pids-limit: \"" + text + "\" is negative");
    resources.processes = std::max<std::int64_t>(count, 0);
}

bool is_socket(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw_errno("stat", path);
    return S_ISSOCK(status.st_mode);
}

}  // namespace

build::SecretSource parse_secret(const std::string& text) {
    build::SecretSource secret;
    std::string type, environment;
    for (const auto& [key, value] : build::split_options("--secret", text)) {
        if (key == "type" && value != "file" && value != "env")
            fail(ErrorKind::Invalid, "--secret: unsupported secret type \"" + value + "\"");
        if (key == "type")
            type = value;
        else if (key == "id")
            secret.id = value;
        else if (key == "src" || key == "source")
            secret.file = value;
        else if (key == "env")
            environment = value;
        else
            fail(ErrorKind::Invalid,
                 "--secret: unexpected key '" + key + "' in '" + key + "=" + value + "'");
    }
    if (secret.id.empty()) fail(ErrorKind::Invalid, "--secret: secret missing ID");
    if (type == "env" && environment.empty()) environment = std::exchange(secret.file, {});
    if (environment.empty() && secret.file.empty()) {
        const bool from_environment = type == "env" || (type.empty() && variable(secret.id));
        (from_environment ? environment : secret.file) = secret.id;
    }
    if (!environment.empty())
        secret.value = variable(environment).value_or("");
    else if (struct stat status{}; ::stat(secret.file.c_str(), &status) != 0)
        throw_errno("--secret: failed to stat", secret.file);
    return secret;
}

build::SshSource parse_ssh(const std::string& text) {
    build::SshSource source;
    const auto equals = text.find('=');
    source.id = text.substr(0, equals);
    if (source.id.empty()) fail(ErrorKind::Invalid, "--ssh: \"" + text + "\" has no ID");
    std::vector<std::string> paths;
    if (equals != std::string::npos) paths = split(text.substr(equals + 1), ',');
    std::erase(paths, "");
    if (paths.empty()) {
        const auto agent = variable("SSH_AUTH_SOCK");
        if (!agent || agent->empty())
            fail(ErrorKind::Invalid, "--ssh: invalid empty ssh agent socket: make sure "
                                     "SSH_AUTH_SOCK is set");
        paths = {*agent};
    }
    for (const auto& path : paths) {
        if (!is_socket(path)) {
            source.keys.push_back(path);
            continue;
        }
        if (!source.socket.empty()) fail(ErrorKind::Invalid, "--ssh: only single socket allowed");
        source.socket = path;
    }
    if (!source.socket.empty() && !source.keys.empty())
        fail(ErrorKind::Invalid, "--ssh: invalid combination of keys and sockets");
    return source;
}

sandbox::ProcessLimit parse_ulimit(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
        fail(ErrorKind::Invalid, "--ulimit: invalid ulimit argument: " + text);
    const auto values = split(text.substr(equals + 1), ':');
    if (values.size() > 2)
        fail(ErrorKind::Invalid, "--ulimit: too many limit value arguments - " +
                                     text.substr(equals + 1) +
                                     ", can only have up to two, "
                                     "`soft[:hard]`");
    sandbox::ProcessLimit limit;
    limit.name = text.substr(0, equals);
    limit.soft = whole_number("--ulimit", values.front());
    limit.hard = whole_number("--ulimit", values.back());
    sandbox::check_limit(limit);
    return limit;
}

void declare_run_flags(CLI::App& app, RunFlags& flags) {
    add_values(app, "--secret", flags.secrets, "id=ID[,src=FILE][,env=VAR]",
               "Lend RUN a secret: a file, or a variable; by default whichever bears the name ID");
    add_values(app, "--ssh", flags.ssh, "ID[=PATH[,PATH]]",
               "Lend RUN an SSH agent: by its socket (default $SSH_AUTH_SOCK) or by private keys");
    add_value(app, "--shm-size", flags.shm_size, "BYTES", "Size of /dev/shm of RUN (default 64m)");
    add_values(app, "--ulimit", flags.ulimits, "TYPE=SOFT[:HARD]",
               "Limit the processes of RUN, such as nofile=1024:2048; -1 is unlimited");
    add_value(app, "--cgroup-parent", flags.cgroup_parent, "GROUP",
              "Control group below which RUN gets its own");
    add_values(app, "--resource", flags.resources, "KEY=VALUE",
               "Limit each RUN: memory, memory-swap, cpu-shares, cpu-period, cpu-quota, "
               "cpuset-cpus, cpuset-mems");
    add_value(app, "-m,--memory,--step-memory", flags.memory, "BYTES",
              "Memory that each RUN may use, as --resource memory=");
    add_value(app, "--cpus", flags.processors, "N",
              "Processors whose time each RUN may use, such as 1.5");
    add_value(app, "--pids-limit,--pids", flags.processes, "N",
              "Processes and threads that each RUN may have at one time; -1 is unlimited");
    add_value(app, "--memory-budget", flags.memory_budget, "BYTES",
              "Let RUNs run together only while what --memory allows them fits into this");
    hide(add_value(app, "--memory-swap", flags.memory_swap, "BYTES", "As --resource"));
    hide(add_value(app, "-c,--cpu-shares", flags.cpu_shares, "N", "As --resource"));
    hide(add_value(app, "--cpu-period", flags.cpu_period, "N", "As --resource"));
    hide(add_value(app, "--cpu-quota", flags.cpu_quota, "N", "As --resource"));
    hide(add_value(app, "--cpuset-cpus", flags.cpuset_cpus, "LIST", "As --resource"));
    hide(add_value(app, "--cpuset-mems", flags.cpuset_mems, "LIST", "As --resource"));
}

void apply_run_flags(const RunFlags& flags, build::Request& request) {
    for (const auto& text : flags.secrets)
        request.secrets.push_back(parse_secret(text));
    for (const auto& text : flags.ssh)
        request.ssh.push_back(parse_ssh(text));
    for (const auto& text : flags.ulimits)
        request.limits.push_back(parse_ulimit(text));
    if (!flags.shm_size.empty()) request.shm_bytes = size_in_bytes("--shm-size", flags.shm_size);
    request.cgroup_parent = flags.cgroup_parent;
    if (!flags.memory_budget.empty())
        request.memory_budget = size_in_bytes("--memory-budget", flags.memory_budget);
    auto& resources = request.resources;
    for (const auto& [key, value] : {std::pair{"memory", &flags.memory},
                                     {"memory-swap", &flags.memory_swap},
                                     {"cpu-shares", &flags.cpu_shares},
                                     {"cpu-period", &flags.cpu_period},
                                     {"cpu-quota", &flags.cpu_quota},
                                     {"cpuset-cpus", &flags.cpuset_cpus},
                                     {"cpuset-mems", &flags.cpuset_mems}})
        if (!value->empty()) set_resource(resources, key, *value);
    for (const auto& text : flags.resources) {
        const auto equals = text.find('=');
        if (equals == std::string::npos)
            fail(ErrorKind::Invalid, "--resource: \"" + text + "\" must be a key=value pair");
        set_resource(resources, text.substr(0, equals), text.substr(equals + 1));
    }
    if (!flags.processors.empty()) set_processors(resources, flags.processors);
    if (!flags.processes.empty()) set_processes(resources, flags.processes);
    if (request.memory_budget != 0 && resources.memory_bytes == 0)
        fail(ErrorKind::Invalid,
             "--memory-budget has nothing to add up: say with --memory what each RUN may use");
}

}  // namespace shale::cli
