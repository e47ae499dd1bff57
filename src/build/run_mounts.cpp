// A bind shows a lazy mount of the tree it comes from; nothing is copied or unpacked. For the build
// context that is the tree as it was scanned: without what .dockerignore hides, owned by root, its
// contents read from the files where they lie. (A bind of the directory itself would show the
// hidden files, the host's owners, and what is being written there meanwhile.)
//
// A bind that may be written to, or that lacks the mount point of another mount below it, is shown
// through a scratch overlay that is thrown away. Order of members is order of making; the end takes
// them down in reverse.
#include "run_mounts.hpp"

#include "directory_files.hpp"
#include "run_caches.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

namespace shale::build {
namespace {

using dockerfile::MountType;
using snapshot::NodeId;

constexpr std::uint64_t kPageBytes = 4096;

// A tree and the way to its contents, shown at a directory when somebody asks.
struct ShownTree {
    std::shared_ptr<mount::View> view;
    std::unique_ptr<MountedTree> mounted;
    std::string path;
};

std::shared_ptr<mount::View> view_of(Session& session, const std::shared_ptr<Root>& root,
                                     std::shared_ptr<DirectoryFiles>& context) {
    auto& store = session.services.store;
    if (root) {
        const auto& loaded = root->load();
        return std::make_shared<mount::View>(loaded.tree, store.content_index(loaded.sources),
                                             store.framed());
    }
    const auto& tree = session.context.tree();
    context = std::make_shared<DirectoryFiles>(session.context.directory(), tree);
    // The context keeps its trees until the build ends.
    return std::make_shared<mount::View>(
        std::shared_ptr<const snapshot::Tree>(std::shared_ptr<void>(), &tree),
        [files = context](NodeId node, std::uint64_t offset, MutableBytes out) {
            return files->read(node, offset, out);
        });
}

bool is_directory(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw_errno("fstat");
    return S_ISDIR(status.st_mode);
}

}  // namespace

struct RunMounts::State {
    State(Session& the_session, const RunSpec& the_spec, std::unique_ptr<RunCaches> the_caches)
        : session(the_session), spec(the_spec), caches(std::move(the_caches)) {
        if (!spec.mounts.empty()) top.emplace(session.services.store.scratch("mounts-"));
    }

    Session& session;
    const RunSpec& spec;
    std::unique_ptr<RunCaches> caches;
    std::optional<TempDir> top;
    std::map<const Root*, ShownTree> shown;
    std::shared_ptr<DirectoryFiles> context;  // if it is shown
    std::vector<std::unique_ptr<WritableRoot>> overlays;
    std::optional<sandbox::HostMount> secrets;
    std::vector<sandbox::HostMount> host_mounts;
    std::vector<std::unique_ptr<sandbox::SocketProxy>> proxies;
    std::vector<sandbox::BindMount> binds;
    std::vector<std::string> points;
    std::vector<KeyValue> variables;
    std::vector<std::string> secret_values;
    bool has_secret_variables = false;

    std::string place(const std::string& kind, std::size_t index) const {
        return join_path(top->path(), fmt::format("{}-{}", kind, index));
    }

    // --- what a mount point below another mount needs ---

    // Mounts whose targets lie below mount `outer` and directly in it, not in one in between.
    std::vector<std::size_t> inner_mounts(std::size_t outer) const {
        std::vector<std::size_t> inner;
        for (std::size_t i = outer + 1; i < spec.mounts.size(); ++i) {
            if (!is_below(spec.mounts[i].target, spec.mounts[outer].target)) continue;
            const auto between = [&](std::size_t k) {
                return is_below(spec.mounts[k].target, spec.mounts[outer].target) &&
                       is_below(spec.mounts[i].target, spec.mounts[k].target);
            };
            bool direct = true;
            for (std::size_t k = outer + 1; k < i; ++k)
                direct = direct && !between(k);
            if (direct) inner.push_back(i);
        }
        return inner;
    }
    std::string relative_target(std::size_t inner, std::size_t outer) const {
        return spec.mounts[inner].target.substr(spec.mounts[outer].target.size() + 1);
    }

    // Whether the thing mounted is a directory, as far as that is known without making it.
    bool shows_directory(const RunMount& mount) {
        if (mount.type == MountType::Secret || mount.type == MountType::Ssh) return false;
        if (mount.type != MountType::Bind) return true;
        const auto& tree = shown_tree(mount.from).view->tree();
        return tree.entry(find_source(tree, mount.source)).type == FileType::Directory;
    }

    // --- binds ---

    ShownTree& shown_tree(const std::shared_ptr<Root>& root) {
        auto& tree = shown[root.get()];
        if (!tree.view) tree.view = view_of(session, root, context);
        return tree;
    }

    void add_bind(std::size_t index) {
        const RunMount& mount = spec.mounts[index];
        ShownTree& source = shown_tree(mount.from);
        const auto& tree = source.view->tree();
        const NodeId node = find_source(tree, mount.source);
        const std::string inside = tree.path(node);
        std::vector<std::string> missing;
        if (tree.entry(node).type == FileType::Directory)
            for (const auto inner : inner_mounts(index)) {
                const auto path = join_path(inside, relative_target(inner, index));
                if (tree.resolve("/" + path) == snapshot::kNoNode)
                    missing.push_back(path + (shows_directory(spec.mounts[inner]) ? "/" : ""));
            }
        std::string path;
        if (mount.read_only && missing.empty()) {
            if (!source.mounted) {
                source.path = place("source", index);
                make_directories(source.path);
                source.mounted = session.services.mounter.mount(source.view, source.path);
            }
            path = source.path;
        } else {
            overlays.push_back(std::make_unique<WritableRoot>(
                session.services.store, session.services.mounter, source.view, missing));
            path = overlays.back()->path();
        }
        show(index, join_path(path, inside), tree.entry(node).type == FileType::Directory);
    }

    // The bind that the sandbox makes, and the mount point for it.
    sandbox::BindMount& show(std::size_t index, const std::string& path, bool directory) {
        const RunMount& mount = spec.mounts[index];
        sandbox::BindMount bind;
        bind.source = path;
        bind.target = mount.target;
        bind.read_only = mount.read_only;
        binds.push_back(std::move(bind));
        points.push_back(mount.target.substr(1) + (directory ? "/" : ""));
        return binds.back();
    }

    // --- caches ---

    void add_cache(std::size_t index) {
        const UniqueFd fd = caches->open(index);
        const bool directory = is_directory(fd.get());
        if (directory)
            for (const auto inner : inner_mounts(index))
                caches->make_point(index, relative_target(inner, index),
                                   shows_directory(spec.mounts[inner]));
        const std::string path = place("cache", index);
        if (directory)
            make_directories(path);
        else
            open_file(path, O_CREAT | O_EXCL | O_WRONLY);
        host_mounts.push_back(sandbox::HostMount::bind(fd.get(), path));
        show(index, path, directory);
    }

    // --- the others ---

    void add_tmpfs(std::size_t index) {
        auto& bind = show(index, "", true);
        bind.tmpfs_bytes = spec.mounts[index].tmpfs_bytes;
    }

    struct Secret {
        std::size_t index;
        std::string value;
    };

    void add_secrets(std::vector<Secret>& found) {
        std::uint64_t bytes = 16 * kPageBytes;  // the kernel's own
        for (const auto& secret : found)
            bytes += (secret.value.size() / kPageBytes + 2) * kPageBytes;
        if (found.empty()) return;
        const std::string directory = place("secrets", 0);
        make_directories(directory, 0700);
        secrets.emplace(sandbox::HostMount::private_tmpfs(directory, bytes));
        for (auto& secret : found) {
            const RunMount& mount = spec.mounts[secret.index];
            const auto path = join_path(directory, std::to_string(secret.index));
            const unsigned mode = mount.mode.value_or(0400);
            const UniqueFd fd = open_file(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
            write_all(fd.get(), as_bytes(secret.value), path);
            if (::fchown(fd.get(), mount.uid.value_or(0), mount.gid.value_or(0)) != 0)
                throw_errno("chown", path);
            if (::fchmod(fd.get(), mode) != 0) throw_errno("chmod", path);
        }
    }

    void show_secret(std::size_t index) {
        const auto path = join_path(place("secrets", 0), std::to_string(index));
        if (!path_exists(path)) return;  // not given, and not required
        auto& bind = show(index, path, false);
        bind.trusted = false;
        bind.executable = (spec.mounts[index].mode.value_or(0400) & 0111) != 0;
    }

    void add_ssh(std::size_t index) {
        const RunMount& mount = spec.mounts[index];
        const auto agent = session.shared.ssh_agents.socket(mount.id);
        if (!agent) {
            if (!mount.required) return;
            fail(ErrorKind::NotFound, "no SSH key \"" + mount.id + "\" forwarded from the client");
        }
        const auto path = place("agent", index);
        proxies.push_back(std::make_unique<sandbox::SocketProxy>(path, *agent));
        proxies.back()->dress(mount.mode.value_or(0600), mount.uid.value_or(0),
                              mount.gid.value_or(0));
        auto& bind = show(index, path, false);
        bind.trusted = false;
        bind.executable = false;
        if (proxies.size() == 1) variables.push_back({"SSH_AUTH_SOCK", mount.target});
    }

    void find_secrets() {
        std::vector<Secret> files;
        for (std::size_t i = 0; i < spec.mounts.size(); ++i) {
            const RunMount& mount = spec.mounts[i];
            if (mount.type != MountType::Secret) continue;
            auto value = find_secret(session.request.secrets, mount.id);
            if (!value && mount.required)
                fail(ErrorKind::NotFound, "secret " + mount.id + ": not found");
            if (!value) continue;
            secret_values.push_back(*value);
            if (mount.variable) {
                variables.push_back({*mount.variable, *value});
                has_secret_variables = true;
            }
            if (!mount.target.empty()) files.push_back({i, std::move(*value)});
        }
        add_secrets(files);
    }

    void make() {
        find_secrets();
        for (std::size_t i = 0; i < spec.mounts.size(); ++i)
            add(i);
    }

    void add(std::size_t index) {
        switch (spec.mounts[index].type) {
        case MountType::Bind:
            return add_bind(index);
        case MountType::Cache:
            return add_cache(index);
        case MountType::Tmpfs:
            return add_tmpfs(index);
        case MountType::Secret:
            return show_secret(index);
        case MountType::Ssh:
            return add_ssh(index);
        }
    }
};

RunMounts::RunMounts(Session& session, const RunSpec& spec, std::unique_ptr<RunCaches> caches)
    : state_(std::make_unique<State>(session, spec, std::move(caches))) {
    state_->make();
}
RunMounts::~RunMounts() = default;

const std::vector<sandbox::BindMount>& RunMounts::binds() const {
    return state_->binds;
}
const std::vector<std::string>& RunMounts::points() const {
    return state_->points;
}
const std::vector<KeyValue>& RunMounts::variables() const {
    return state_->variables;
}
const std::vector<std::string>& RunMounts::secrets() const {
    return state_->secret_values;
}
bool RunMounts::has_secret_variables() const {
    return state_->has_secret_variables;
}

std::optional<std::string> RunMounts::failure() const {
    return state_->context ? state_->context->failure() : std::nullopt;
}

}  // namespace shale::build
