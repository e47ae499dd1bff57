// RUN: from the instruction to a RunSpec, here-documents included.
#include "dispatch.hpp"
#include "located.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

namespace shale::build {
namespace {

struct Invocation {
    std::vector<std::string> argv;
    std::vector<RunSpec::Script> scripts;
};

Invocation invocation(const dockerfile::Command& command, std::vector<std::string> shell) {
    if (command.exec_form) return {command.argv, {}};
    Invocation made{std::move(shell), {}};
    if (command.heredocs.empty()) {
        made.argv.push_back(command.argv.front());
        return made;
    }
    auto run = dockerfile::heredoc_run(command);
    if (run.file) {
        made.argv.push_back("/dev/pipes/" + run.file->name);
        made.scripts.push_back({run.file->name, run.file->body});
    } else {
        made.argv.push_back(std::move(run.script));
    }
    return made;
}

}  // namespace

void Dispatcher::operator()(const dockerfile::Run& run) {
    const auto& config = state_.image.config;
    RunSpec spec;
    auto made = invocation(run.command, shell());
    if (made.argv.empty()) fail(ErrorKind::Invalid, "RUN has no command");
    spec.argv = std::move(made.argv);
    spec.scripts = std::move(made.scripts);
    spec.env = state_.environment.list();
    spec.proxies = session_.arguments.proxies();
    spec.cwd = config.working_dir.empty() ? "/" : config.working_dir;
    spec.user = config.user;
    spec.network =
        sandbox::parse_network(run.network.empty() ? session_.request.network : run.network);
    if (const auto hostname = session_.arguments.given("BUILDKIT_SANDBOX_HOSTNAME"))
        spec.hostname = *hostname;
    const auto& allow = session_.request.allow;
    if (run.network == "host" && session_.request.network != "host" &&
        std::find(allow.begin(), allow.end(), "network.host") == allow.end())
        fail(ErrorKind::Denied, "entitlement network.host is not allowed; grant it with "
                                "--allow network.host");

    const auto parent = state_.root;
    const auto& hosts = session_.request.add_hosts;
    std::deque<std::string> log_tail;
    Step step;
    step.name = step_name_;
    step.use_cache = use_cache();
    step.definition_key = [&] { return run_key(spec, hosts, "run", parent->key()); };
    step.content_key = [&] {
        return run_key(spec, hosts, "run-content",
                       parent->load().tree->key_digest(snapshot::kRoot));
    };
    step.execute = [&](VertexId vertex) {
        return execute_run(session_, spec, parent->load(), vertex, log_tail);
    };

    std::string declared;
    for (const auto& name : state_.arguments)
        declared += " " + name + "=" + state_.environment.get(name).value_or("");
    const std::string scope =
        declared.empty() ? "" : fmt::format("|{}{} ", state_.arguments.size(), declared);
    try {
        advance(step, fmt::format("RUN {}{} # buildkit", scope, fmt::join(spec.argv, " ")));
    } catch (const Error& error) {
        throw BuildError(error, step_name_, {log_tail.begin(), log_tail.end()},
                         dockerfile::excerpt(session_.file, instruction_.lines));
    }
}

}  // namespace shale::build
