// shale shell: a command in an image, on its lazy mount, with a scratch layer for what it writes.
//
// A step of a build is as good as an image: there is a tree, and the record of the build tells what
// the step's own command was given.
#include "build_reference.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "tree_server.hpp"

#include <shale/build.hpp>
#include <shale/sandbox.hpp>

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace shale::cli {

namespace {

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Flags {
    std::string reference, user, workdir, network, platform;
    std::vector<std::string> env;
    bool failed = false;
};

// What the command runs in.
struct Ground {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;
    oci::RunConfig config;
};

Ground find_ground(const Flags& flags, Workspace& workspace) {
    const auto reference = flags.failed ? "build:last/failed" : flags.reference;
    if (is_build_reference(reference)) {
        auto root = open_build_reference(workspace, reference);
        print_note(root.title);
        return {std::move(root.tree), std::move(root.sources), std::move(root.config)};
    }
    const auto platform = chosen_platform(flags.platform);
    const auto image = obtain_image(workspace, reference, platform);
    announce_platform(image, platform);
    auto merged = workspace.store().image_tree(image.manifest, image.config);
    return {std::move(merged.tree), std::move(merged.sources), image.config.config};
}

bool has_variable(const std::vector<std::string>& env, std::string_view name) {
    return std::any_of(env.begin(), env.end(), [&](const std::string& entry) {
        return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
    });
}

void set_variable(std::vector<std::string>& env, const std::string& entry) {
    const auto name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(env, [&](const std::string& old) { return old.starts_with(name); });
    env.push_back(entry);
}

std::vector<std::string> environment(const Flags& flags, const oci::RunConfig& config,
                                     const std::string& home, bool terminal) {
    auto env = config.env;
    for (const auto& entry : flags.env) {
        if (entry.find('=') == std::string::npos)
            fail(ErrorKind::Invalid, "--env: \"" + entry + "\" is not of the form NAME=VALUE");
        set_variable(env, entry);
    }
    if (!has_variable(env, "PATH")) env.emplace_back(kDefaultPath);
    if (!has_variable(env, "HOME")) env.push_back("HOME=" + home);
    const char* term = ::getenv("TERM");
    if (terminal && !has_variable(env, "TERM"))
        env.push_back(std::string("TERM=") + (term ? term : "xterm"));
    return env;
}

sandbox::Spec sandbox_spec(const Flags& flags, const std::vector<std::string>& command,
                           const oci::RunConfig& config, build::WritableRoot& root, bool terminal) {
    const auto user = build::resolve_user(root.view().tree(), root.view().contents(),
                                          flags.user.empty() ? config.user : flags.user);
    sandbox::Spec spec;
    spec.root = root.path();
    spec.argv = command;
    if (spec.argv.empty()) spec.argv = {"/bin/sh"};
    spec.terminal = terminal;
    // A terminal that is not the container's stays ours: it would be in two sessions.
    spec.standard_input = !is_terminal(STDIN_FILENO);
    spec.env = environment(flags, config, user.home, spec.terminal);
    spec.cwd = !flags.workdir.empty()       ? flags.workdir
               : config.working_dir.empty() ? "/"
                                            : config.working_dir;
    spec.uid = user.uid;
    spec.gid = user.gid;
    spec.additional_gids = user.groups;
    spec.network = sandbox::parse_network(flags.network.empty() ? "default" : flags.network);
    spec.mounts.push_back(
        {root.add_file("hosts", sandbox::default_hosts(spec.hostname), 0644), "/etc/hosts", true});
    spec.mounts.push_back(
        {root.add_file("resolv.conf", sandbox::default_resolv_conf(spec.network), 0644),
         "/etc/resolv.conf", true});
    return spec;
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.failed != flags.reference.empty())
        fail(ErrorKind::Invalid, "shell needs an image or a step of a build, or --failed");
    workspace.enter_namespaces();
    const auto ground = find_ground(flags, workspace);
    // Before the first mount: a signal that came between would leave it behind.
    const bool terminal = is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
    const auto stop = terminal ? workspace.stop_except_keyboard() : workspace.stop();
    workspace.runtime();  // says what it lacks, before anything else fails for the same reason
    FuseMounter mounter;
    build::WritableRoot root(workspace.store(), mounter, ground.tree, ground.sources);
    const auto spec = sandbox_spec(flags, workspace.globals().rest, ground.config, root, terminal);
    const auto result = workspace.runtime().run(
        spec,
        [](sandbox::OutputStream stream, std::string_view text) {
            write_all(stream == sandbox::OutputStream::Stdout ? STDOUT_FILENO : STDERR_FILENO,
                      as_bytes(text), "output");
        },
        stop);
    root.unmount();
    // The status is then the signal's, not that of the command we killed for it.
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
    if (!result.start_error.empty()) print_error(result.start_error);
    return result.exit_code;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "REF", flags->reference,
                 "Image to run in, or a step of a build: build:ID/step:N, build:ID/STAGE");
    add_switch(app, "--failed", flags->failed,
               "In what the step left that failed in the last build (build:last/failed)");
    add_value(app, "-u,--user", flags->user, "USER[:GROUP]",
              "Run as this user (default: the image's)");
    add_value(app, "-w,--workdir", flags->workdir, "DIR", "Start here (default: the image's)");
    add_values(app, "-e,--env", flags->env, "NAME=VALUE", "Set a variable");
    add_value(app, "--network", flags->network, "default|none|host",
              "Network (default: a private one)");
    add_platform_flag(app, flags->platform);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& shell_command() {
    static const Command command = {
        .name = "shell",
        .group = "Look inside",
        .summary = "Run a command in an image",
        .usage = "[OPTIONS] REF|--failed [-- COMMAND [ARGUMENTS]]",
        .details =
            "The image is mounted, not unpacked; what the command writes goes to a scratch layer "
            "that is thrown away. Environment, user and working directory are the image's; its "
            "entrypoint is not used. Standard input reaches the command.\n\n"
            "In a step of a build they are those of the last RUN up to it, without values that "
            "speak of secrets. build:ID is the last stage that was reached; ID is last, ^N or the "
            "beginning of an ID of `shale builds`.\n\n"
            "The status is the command's, 128 + N if signal N killed it, 125 if shale failed, 126 "
            "if the command cannot be run, 127 if the image does not hold it.",
        .examples = {{"shale shell app:prod", "A shell, to look around"},
                     {"shale shell app:prod -- node --version", "One command"},
                     {"shale shell --failed", "Where the last build failed, as it was left"},
                     {"shale shell build:last/builder -- ls /src", "A stage of the last build"}},
        .declare = declare,
        .failure_code = kShellFailed,
        .takes_command_line = true,
    };
    return command;
}

}  // namespace shale::cli
