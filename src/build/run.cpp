// Runs one command: what the sandbox is told, what of its output is kept, and the layer that the
// command left behind.
#include "run.hpp"

#include "emulation.hpp"
#include "environment.hpp"
#include "key.hpp"
#include "redact.hpp"
#include "run_caches.hpp"
#include "run_mounts.hpp"

#include <shale/diff.hpp>
#include <shale/mount.hpp>

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace shale::build {
namespace {

constexpr std::size_t kLogTailLines = 10;
constexpr std::size_t kLongestTailLine = 4096;
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kScriptDirectory = "/dev/pipes";

// Shows a command's output, without secrets, and keeps its last lines.
class LogTail {
  public:
    LogTail(std::deque<std::string>& lines, const std::vector<std::string>& secrets,
            sandbox::OnOutput show)
        : lines_(lines), streams_{Redactor(secrets), Redactor(secrets)}, show_(std::move(show)) {}
    void add(sandbox::OutputStream stream, std::string_view text) {
        deliver(stream, streams_[stream == sandbox::OutputStream::Stderr].add(text));
    }
    void finish() {
        for (const auto stream : {sandbox::OutputStream::Stdout, sandbox::OutputStream::Stderr})
            deliver(stream, streams_[stream == sandbox::OutputStream::Stderr].finish());
        flush();
    }

  private:
    void deliver(sandbox::OutputStream stream, const std::string& text) {
        if (text.empty()) return;
        keep(text);
        show_(stream, text);
    }
    void keep(std::string_view text) {
        for (const char c : text) {
            if (c == '\n')
                flush();
            else if (partial_.size() < kLongestTailLine)
                partial_.push_back(c);
        }
    }
    void flush() {
        if (partial_.empty()) return;
        lines_.push_back(std::move(partial_));
        partial_.clear();
        if (lines_.size() > kLogTailLines) lines_.pop_front();
    }

    std::deque<std::string>& lines_;
    std::string partial_;
    std::array<Redactor, 2> streams_;
    sandbox::OnOutput show_;
};

std::string hosts_file(const RunSpec& spec, const std::vector<std::string>& add_hosts) {
    std::string text = sandbox::default_hosts(spec.hostname);
    for (const auto& entry : add_hosts) {
        const auto [name, address] = parse_extra_host(entry);
        text += address + "\t" + name + "\n";
    }
    return text;
}

std::vector<std::string> process_environment(const RunSpec& spec, const ResolvedUser& user,
                                             const std::vector<KeyValue>& lent) {
    auto environment = Environment::from_list(spec.env);
    for (const auto& pair : spec.proxies)
        if (!environment.get(pair.key)) environment.set(pair.key, pair.value);
    if (!environment.get("PATH")) environment.set("PATH", kDefaultPath);
    for (const auto& pair : lent)
        environment.set(pair.key, pair.value);
    if (!environment.get("HOME")) environment.set("HOME", user.home);
    return environment.list();
}

// Text of argv as the reference prints it: joined by blanks, quoted as Go quotes strings.
std::string quoted(const std::vector<std::string>& argv) {
    std::string joined;
    for (const auto& word : argv)
        joined += (joined.empty() ? "" : " ") + word;
    std::string out = "\"";
    for (const char c : joined) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            out += '\\', out += c;
        else if (c == '\n')
            out += "\\n";
        else if (c == '\t')
            out += "\\t";
        else if (byte < 0x20 || byte == 0x7f)
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out + "\"";
}

// A program of another platform does not even start without an emulator. Runtimes tell in different
// ways: as the reason, or as output of a command that exits with 1.
bool is_for_another_machine(const RunSpec& spec, const sandbox::Result& result,
                            const std::deque<std::string>& log_tail) {
    if (is_native(spec.platform)) return false;
    const auto says_so = [](const std::string& text) {
        return text.find("xec format error") != std::string::npos;
    };
    return says_so(result.start_error) || std::any_of(log_tail.begin(), log_tail.end(), says_so) ||
           (!result.start_error.empty() && find_emulator(spec.platform));
}

[[noreturn]] void throw_failed(const RunSpec& spec, const sandbox::Result& result,
                               const std::deque<std::string>& log_tail) {
    std::string reason = result.start_error.empty()
                             ? "exit code: " + std::to_string(result.exit_code)
                             : result.start_error;
    if (result.out_of_memory) reason += ": cannot allocate memory";
    if (is_for_another_machine(spec, result, log_tail)) reason += ": " + how_to_run(spec.platform);
    fail(ErrorKind::Failed,
         "process " + quoted(spec.argv) + " did not complete successfully: " + reason);
}

void add_files(const Session& session, const RunSpec& run, WritableRoot& root,
               sandbox::Spec& spec) {
    spec.mounts.push_back({root.add_file("hosts", hosts_file(run, session.request.add_hosts), 0644),
                           "/etc/hosts", true});
    spec.mounts.push_back(
        {root.add_file("resolv.conf", sandbox::default_resolv_conf(run.network), 0644),
         "/etc/resolv.conf", true});
    for (std::size_t i = 0; i < run.scripts.size(); ++i)
        spec.mounts.push_back({root.add_file(fmt::format("script{}", i), run.scripts[i].text, 0755),
                               fmt::format("{}/{}", kScriptDirectory, run.scripts[i].name), true});
}

// What is mounted on a directory must not hide what was mounted below it before.
void sort_by_depth(std::vector<sandbox::BindMount>& mounts) {
    std::ranges::stable_sort(mounts, {}, [](const sandbox::BindMount& mount) {
        return std::ranges::count(mount.target, '/');
    });
}

// In the order in which they are made. What the machine's owner lends to devices is not a
// stranger's.
void check_targets(const std::vector<sandbox::BindMount>& mounts, const snapshot::Tree& tree) {
    for (std::size_t i = 0; i < mounts.size(); ++i)
        if (leads_into_proc(mounts[i].target, links_of(tree, std::span(mounts).first(i))))
            fail(ErrorKind::Invalid,
                 "\"" + mounts[i].target + "\" cannot be mounted because it is inside /proc");
}

sandbox::Spec sandbox_spec(const Session& session, const RunSpec& run, const LoadedRoot& parent,
                           WritableRoot& root, const RunMounts& mounts) {
    auto& store = session.services.store;
    layer::ContentReader contents(store.content_index(parent.sources), store.framed());
    const auto user = resolve_user(*parent.tree, contents, run.user);
    sandbox::Spec spec;
    spec.root = root.path();
    spec.argv = run.argv;
    spec.env = process_environment(run, user, mounts.variables());
    spec.confidential = mounts.has_secret_variables();
    spec.cwd = run.cwd;
    spec.uid = user.uid;
    spec.gid = user.gid;
    spec.additional_gids = user.groups;
    spec.hostname = run.hostname;
    spec.network = run.network;
    spec.privileged = run.insecure;
    if (run.shm_bytes) spec.shm_bytes = *run.shm_bytes;
    spec.limits = run.limits;
    spec.resources = session.request.resources;
    spec.cgroup_parent = run.cgroup_parent;
    add_files(session, run, root, spec);
    spec.mounts.insert(spec.mounts.end(), mounts.binds().begin(), mounts.binds().end());
    sort_by_depth(spec.mounts);
    check_targets(spec.mounts, *parent.tree);
    apply_devices(run.devices, session.request.allow, cdi_directories(), spec);
    sort_by_depth(spec.mounts);
    return spec;
}

// Mount points lie below the image and reach the upper directory only by accident, when a command
// changes the mode of one, say. Other builders look at what is empty; so does this.
snapshot::Tree without_stubs(snapshot::Tree tree, const snapshot::Tree& parent,
                             const std::vector<std::string>& stubs) {
    const auto is_there = [&](const std::string& path) {
        return tree.find(path) != snapshot::kNoNode && parent.find(path) == snapshot::kNoNode;
    };
    if (std::ranges::none_of(stubs, is_there)) return tree;
    snapshot::TreeBuilder builder(tree);
    for (const auto& path : stubs) {  // innermost first
        const auto entry = builder.get(path);
        if (!entry || parent.find(path) != snapshot::kNoNode) continue;
        const bool is_empty = entry->type == FileType::Directory
                                  ? builder.children(path).empty()
                                  : entry->type == FileType::Regular && entry->size == 0;
        if (is_empty) builder.remove(path);
    }
    return builder.finish();
}

// What the command left behind, as a tree and a layer.
Executed result_of_run(Session& session, const LoadedRoot& parent, WritableRoot& root) {
    auto tree = std::make_shared<snapshot::Tree>(without_stubs(
        diff::merge_upper(*parent.tree, root.upper(), diff::Times::WholeSeconds, root.marks()),
        *parent.tree, root.stubs()));
    const auto stored = store_layer(session, *parent.tree, *tree, parent.sources,
                                    layer::content_from_directory(root.upper()));
    Executed executed;
    executed.tree = tree;
    executed.sources = merge_sources(parent.sources, {stored.descriptor.digest});
    executed.layer = stored.descriptor;
    executed.diff_id = stored.diff_id;
    return executed;
}

// For whoever wants to look at why it failed. No build ever finds it; a collection takes it as any
// record of the cache. Best effort: the command's failure is what matters.
void keep_failed(Session& session, const LoadedRoot& parent, WritableRoot& root, VertexId vertex) {
    try {
        const auto executed = result_of_run(session, parent, root);
        store::StepRecord record;
        record.tree = session.services.store.put_tree(*executed.tree);
        record.sources = executed.sources;
        record.layer = executed.layer;
        record.diff_id = executed.diff_id;
        record.created_ns = session.services.clock.now_ns();
        Digest key;
        session.shared.recorder.update_step(vertex, [&](RecordedStep& step) {
            step.tree = record.tree;
            key = failed_step_key(step.key);
            record.name = "failed: " + step.name;
        });
        session.services.store.put_step(key, record);
    } catch (const Error& error) {
        log(LogLevel::Debug, std::string("the failed step is not kept: ") + error.what());
    }
}

// A command that cannot reach the network fails in words of its own; ours come first.
void warn_of_network(Session& session, const RunSpec& spec) {
    const auto& note = session.services.runtime().network_note();
    if (note.empty() || spec.network != sandbox::Network::Private) return;
    std::call_once(session.shared.told_of_network,
                   [&] { session.tracker.progress().warning(note); });
}

}  // namespace

ExtraHost parse_extra_host(const std::string& entry) {
    const auto invalid = [&](const std::string& why) {
        fail(ErrorKind::Invalid, "invalid --add-host value \"" + entry + "\": " + why);
    };
    const auto split = entry.find_first_of(":=");
    if (split == std::string::npos || split == 0) invalid("expected name:ip");
    std::string ip = entry.substr(split + 1);
    if (ip.size() > 1 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
    if (ip == "host-gateway") invalid("a RUN has no gateway to the host; use --network host");
    in6_addr address;  // large enough for both
    if (::inet_pton(AF_INET, ip.c_str(), &address) != 1 &&
        ::inet_pton(AF_INET6, ip.c_str(), &address) != 1)
        invalid("\"" + ip + "\" is no IP address");
    return {entry.substr(0, split), ip};
}

Digest run_key(const RunSpec& spec, const std::vector<std::string>& add_hosts, Context& context,
               const RunParent& parent, RecordedInputs* inputs) {
    Key key(parent.by_content ? "run3-content" : "run3", inputs);
    key.add("parent", parent.digest).add_all("argv", spec.argv).add_all("env", spec.env);
    key.add("cwd", spec.cwd).add("user", spec.user).add("hostname", spec.hostname);
    key.add("platform", spec.platform.str());
    key.add("network", static_cast<std::uint64_t>(spec.network));
    key.add("insecure", static_cast<std::uint64_t>(spec.insecure));
    key.add("shm", spec.shm_bytes.value_or(0)).add("cgroup", spec.cgroup_parent);
    key.add("hosts", static_cast<std::uint64_t>(add_hosts.size()));
    for (const auto& entry : add_hosts)  // names only: an address may differ per machine
        key.add("host", entry.substr(0, entry.find_first_of(":=")));
    for (const auto& script : spec.scripts)
        key.add("script", script.name).add("text", script.text);
    for (const auto& limit : spec.limits)
        key.add("limit", fmt::format("{}={}:{}", limit.name, limit.soft, limit.hard));
    for (const auto& device : spec.devices)
        key.add("device", device.name).add("required", static_cast<std::uint64_t>(device.required));
    for (const auto& mount : spec.mounts)
        add_to_key(key, mount, context, parent.by_content);
    return key.finish();
}

Executed execute_run(Session& session, const RunSpec& spec, const LoadedRoot& parent,
                     std::unique_ptr<RunCaches> caches, VertexId vertex,
                     std::deque<std::string>& log_tail) {
    auto& services = session.services;
    warn_of_network(session, spec);
    std::optional<RunMounts> mounts(std::in_place, session, spec, std::move(caches));
    auto& live_roots = session.shared.live_roots;
    auto below = live_roots.show(parent);
    std::optional<WritableRoot> root;
    root.emplace(services.store, *parent.tree, below->layers, mounts->points());
    if (!root->shows_mount_points()) {
        root.reset();
        below = live_roots.show_whole(parent);
        root.emplace(services.store, *parent.tree, below->layers, mounts->points());
    }
    LogTail tail(log_tail, mounts->secrets(),
                 [&](sandbox::OutputStream stream, std::string_view text) {
                     session.tracker.progress().output(vertex, stream, text);
                 });
    const auto result = services.runtime().run(
        sandbox_spec(session, spec, parent, *root, *mounts),
        [&](sandbox::OutputStream stream, std::string_view text) { tail.add(stream, text); },
        session.stop);
    tail.finish();
    root->unmount();
    const auto unread = mounts->failure();
    mounts.reset();  // others may be waiting for a cache
    session.check_stop();
    if (unread) {
        keep_failed(session, parent, *root, vertex);
        fail(ErrorKind::Failed,
             "a mount could not show a file of the build context as it was: " + *unread);
    }
    if (!result.start_error.empty() || result.exit_code != 0) {
        if (result.start_error.empty()) keep_failed(session, parent, *root, vertex);
        throw_failed(spec, result, log_tail);
    }
    auto executed = result_of_run(session, parent, *root);
    const std::string upper = root->upper();
    live_roots.keep(below, {spec.title, parent.tree, executed.tree, root->take_scratch(), upper});
    return executed;
}

}  // namespace shale::build
