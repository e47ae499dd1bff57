// RUN: from the instruction to a RunSpec, here-documents included.
//
// Variables of its words are settled here, and the roots that its mounts come from; what the
// command is then shown, and how it is run, is run.cpp's business. What it may use is noted for
// whoever asks later what the build was made of.
#include "dispatch.hpp"
#include "entitlements.hpp"
#include "located.hpp"
#include "run_caches.hpp"
#include "run_title.hpp"

#include <fmt/format.h>

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

const char* network_name(sandbox::Network network) {
    if (network == sandbox::Network::None) return "none";
    return network == sandbox::Network::Host ? "host" : "default";
}

StepFact fact_of(const RunSpec& spec) {
    StepFact fact;
    fact.command =
        CommandFact{spec.argv, spec.env, spec.cwd, spec.user, network_name(spec.network)};
    for (const auto& mount : spec.mounts) {
        if (mount.from) fact.inputs.push_back(mount.from->key());
        if (!mount.from && mount.type == dockerfile::MountType::Bind)
            fact.inputs.push_back(Facts::local_key("context"));
    }
    return fact;
}

}  // namespace

// The root that a mount comes from; null if it names none.
std::shared_ptr<Root> Dispatcher::mount_source(const dockerfile::Mount& mount) {
    if (mount.from.empty()) return nullptr;
    return stages_.root_of(
        resolve_mount_from(session_.file, stage_index_, mount, session_.contexts()));
}

std::vector<RunMount> Dispatcher::run_mounts(const dockerfile::Run& run, const std::string& cwd) {
    std::vector<RunMount> mounts;
    unsigned agents = 0;
    for (const auto& written : run.mounts) {
        const auto mount = dockerfile::expand_mount(written, lookup_, session_.file.escape);
        auto made = decide_mount(mount, cwd, agents);
        agents += made.type == dockerfile::MountType::Ssh ? 1 : 0;
        made.from = mount_source(mount);
        if (made.type == dockerfile::MountType::Bind && !made.from) {
            made.from = session_.context.remote_root();
            session_.context.tree();  // a vertex of its own
            session_.note(session_.context, "context");
        }
        mounts.push_back(std::move(made));
    }
    sort_by_depth(mounts);
    return mounts;
}

RunSpec Dispatcher::run_spec(const dockerfile::Run& run) {
    const auto& config = state_.image.config;
    const auto& request = session_.request;
    RunSpec spec;
    auto made = invocation(run.command, shell());
    if (made.argv.empty()) fail(ErrorKind::Invalid, "RUN has no command");
    spec.argv = std::move(made.argv);
    spec.scripts = std::move(made.scripts);
    spec.env = state_.environment.list();
    spec.proxies = session_.arguments.proxies();
    spec.cwd = clean_absolute_path(config.working_dir);
    spec.user = config.user;
    spec.platform = state_.platform;
    spec.network = sandbox::parse_network(run.network.empty() ? request.network : run.network);
    if (const auto hostname = session_.arguments.given("BUILDKIT_SANDBOX_HOSTNAME"))
        spec.hostname = *hostname;
    if (run.network == "host" && request.network != "host")
        require_entitlement(request.allow, "network.host");
    spec.insecure = run.security == "insecure";
    if (spec.insecure) require_entitlement(request.allow, "security.insecure");
    for (const auto& device : run.devices)
        spec.devices.push_back(parse_device(device));
    spec.mounts = run_mounts(run, spec.cwd);
    spec.renew_caches = !use_cache();
    spec.shm_bytes = request.shm_bytes;
    spec.limits = request.limits;
    spec.cgroup_parent = request.cgroup_parent;
    return spec;
}

// The instruction with values in it, which for secrets are stars.
std::string Dispatcher::run_title_of(const dockerfile::Run& run, const RunSpec& spec) const {
    const dockerfile::Lookup shown = [&](std::string_view name) -> std::optional<std::string> {
        for (const auto& mount : spec.mounts)
            if (mount.variable == name) return "****";
        return lookup_(name);
    };
    return run_title(instruction_.original, run, shown, session_.file.escape);
}

std::string Dispatcher::run_step_name(const dockerfile::Run& run, const RunSpec& spec) const {
    const auto& line = instruction_.original;
    if (!step_name_.ends_with(line)) return step_name_;
    return step_name_.substr(0, step_name_.size() - line.size()) + run_title_of(run, spec);
}

void Dispatcher::note_grants(const RunSpec& spec) {
    for (const auto& mount : spec.mounts) {
        if (mount.type == dockerfile::MountType::Secret)
            session_.facts.add_secret({mount.id, mount.required});
        if (mount.type == dockerfile::MountType::Ssh)
            session_.facts.add_ssh({mount.id, mount.required});
    }
    if (spec.network != sandbox::Network::None) session_.facts.note_network();
}

void Dispatcher::operator()(const dockerfile::Run& run) {
    RunSpec spec = run_spec(run);
    step_name_ = run_step_name(run, spec);
    spec.title = step_name_;
    note_grants(spec);
    const auto parent = state_.root;
    const auto& hosts = session_.request.add_hosts;
    std::deque<std::string> log_tail;
    Step step = new_step(step_name_);
    step.definition_key = [&](RecordedInputs* inputs) {
        return run_key(spec, hosts, session_.context, {false, parent->key()}, inputs);
    };
    step.content_key = [&](RecordedInputs* inputs) {
        return run_key(spec, hosts, session_.context,
                       {true, parent->load().tree->key_digest(snapshot::kRoot)}, inputs);
    };
    step.describe = [&](RecordedStep& record) {
        describe(record);
        for (const auto& mount : spec.mounts)
            if (const auto read = selection_of(mount, session_.context)) {
                session_.shared.recorder.note_directory(session_.context);
                record.files.push_back(*read);
            }
    };
    std::unique_ptr<RunCaches> caches;
    step.prepare = [&](VertexId vertex) {
        caches = std::make_unique<RunCaches>(session_, spec, [&](const RunMount& mount) {
            session_.tracker.progress().output(vertex, sandbox::OutputStream::Stderr,
                                               "waiting for cache mount " + mount.id +
                                                   ", which is in use\n");
        });
    };
    step.execute = [&](VertexId vertex) {
        return execute_run(session_, spec, parent->load(), std::move(caches), vertex, log_tail);
    };
    step.memory = static_cast<std::uint64_t>(session_.request.resources.memory_bytes);

    StepFact fact = fact_of(spec);
    fact.instruction = run_title_of(run, spec);
    std::string declared;
    for (const auto& name : state_.arguments)
        declared += " " + name + "=" + state_.environment.get(name).value_or("");
    const std::string scope =
        declared.empty() ? "" : fmt::format("|{}{} ", state_.arguments.size(), declared);
    try {
        advance(step, std::move(fact),
                fmt::format("RUN {}{} # buildkit", scope, fmt::join(spec.argv, " ")));
    } catch (const Error& error) {
        throw BuildError(error, step_name_, {log_tail.begin(), log_tail.end()},
                         dockerfile::excerpt(session_.file, instruction_.lines));
    }
}

}  // namespace shale::build
