// The order of mounts matters and is undone in reverse: what shows the tree (a lazy mount, or
// layers of somebody else), then the overlay. Stub mount points (/proc, /etc/hosts, ...) live in a
// lowest overlay layer of their own: the runtime finds what it wants to mount over, and nothing of
// it can reach the upper. Unless a layer above hides one, which shows_mount_points() tells.
#include "copy.hpp"
#include "file_layer.hpp"

#include <shale/build.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

namespace shale::build {
namespace {

// Makes what a tree lacks of its mount points, in a directory that will lie below it.
class StubMaker {
  public:
    StubMaker(const std::string& directory, const snapshot::Tree& tree)
        : directory_(directory), tree_(tree), view_(tree) {}

    // The runtime mounts at the end of links (/etc/resolv.conf often is one, into /run), and would
    // create what is missing there; so the stub stands at the end, too.
    void add(const std::string& point) {
        const auto path = resolve_destination(view_, point);
        for (auto slash = path.find('/'); slash != std::string::npos;
             slash = path.find('/', slash + 1))
            make_directory(path.substr(0, slash));
        if (point.ends_with('/'))
            make_directory(path);
        else if (!exists(path))
            make_file(path);
    }
    std::vector<std::string> made() && {
        std::reverse(made_.begin(), made_.end());  // parents were made first
        return std::move(made_);
    }

  private:
    bool exists(const std::string& path) const {
        return tree_.find(path) != snapshot::kNoNode || path_exists(join_path(directory_, path));
    }
    void make_directory(const std::string& path) {
        const auto where = join_path(directory_, path);
        if (path.empty() || path_exists(where)) return;
        if (::mkdir(where.c_str(), 0755) != 0) throw_errno("mkdir", where);
        if (::chmod(where.c_str(), 0755) != 0) throw_errno("chmod", where);  // whatever the umask
        if (tree_.find(path) == snapshot::kNoNode) made_.push_back(path);
    }
    void make_file(const std::string& path) {
        open_file(join_path(directory_, path), O_CREAT | O_EXCL | O_WRONLY);
        made_.push_back(path);
    }

    std::string directory_;
    const snapshot::Tree& tree_;
    snapshot::TreeBuilder view_;
    std::vector<std::string> made_;
};

}  // namespace

struct WritableRoot::State {
    TempDir top;
    std::string stubs, upper, work, root, files;
    std::shared_ptr<mount::View> view;
    std::unique_ptr<MountedTree> mounted;
    std::optional<sandbox::OverlayMount> overlay;

    std::vector<std::string> made_stubs;

    State(store::Store& store, const snapshot::Tree& tree, const std::vector<std::string>& points)
        : top(store.scratch("run-")) {
        for (auto [path, name] : {std::pair{&stubs, "stubs"},
                                  {&upper, "upper"},
                                  {&work, "work"},
                                  {&root, "root"},
                                  {&files, "files"}}) {
            *path = join_path(top.path(), name);
            make_directories(*path);
        }
        StubMaker maker(stubs, tree);
        for (const auto& point : points)
            maker.add(point);
        made_stubs = std::move(maker).made();
        // The overlay's root inode is the upper directory's: it must look like the parent's root,
        // or every RUN would seem to change "/".
        dress(upper, tree.entry(snapshot::kRoot));
    }

    void mount_tree(TreeMounter& mounter, std::shared_ptr<mount::View> shown) {
        view = std::move(shown);
        const auto lower = join_path(top.path(), "lower");
        make_directories(lower);
        mounted = mounter.mount(view, lower);
        mount_over(mounted->base(), false);
    }

    void mount_over(sandbox::OverlayBase base, bool notes) {
        if (!made_stubs.empty()) base.lowers.push_back(stubs);
        if (base.data.empty()) {
            overlay.emplace(base.lowers, upper, work, root, notes);
            return;
        }
        sandbox::OverlayLayers layers{std::move(base), upper, work};
        layers.notes = notes;
        overlay.emplace(layers, root);
    }
};

namespace {

std::vector<std::string> with_runtime_points(std::vector<std::string> points) {
    const auto& runtime = sandbox::mount_points();
    points.insert(points.begin(), runtime.begin(), runtime.end());
    return points;
}

}  // namespace

WritableRoot::WritableRoot(store::Store& store, TreeMounter& mounter,
                           std::shared_ptr<const snapshot::Tree> tree,
                           const std::vector<Digest>& sources,
                           const std::vector<std::string>& more_points)
    : WritableRoot(store, mounter,
                   std::make_shared<mount::View>(std::move(tree), store.content_index(sources),
                                                 store.framed()),
                   with_runtime_points(more_points)) {}

WritableRoot::WritableRoot(store::Store& store, TreeMounter& mounter,
                           std::shared_ptr<mount::View> view,
                           const std::vector<std::string>& points)
    : state_(std::make_unique<State>(store, view->tree(), points)) {
    state_->mount_tree(mounter, std::move(view));
}

WritableRoot::WritableRoot(store::Store& store, const snapshot::Tree& tree,
                           const sandbox::OverlayBase& layers,
                           const std::vector<std::string>& more_points)
    : state_(std::make_unique<State>(store, tree, with_runtime_points(more_points))) {
    state_->mount_over(layers, true);
}

WritableRoot::~WritableRoot() = default;

const std::string& WritableRoot::path() const {
    return state_->root;
}
const std::string& WritableRoot::upper() const {
    return state_->upper;
}
diff::Marks WritableRoot::marks() {
    return sandbox::overlays_mark_for_users() ? diff::Marks::User : diff::Marks::Trusted;
}
mount::View& WritableRoot::view() {
    SHALE_ENSURE(state_->view);
    return *state_->view;
}

std::string WritableRoot::add_file(const std::string& name, std::string_view text, unsigned mode) {
    const auto path = join_path(state_->files, name);
    const UniqueFd fd = open_file(path, O_CREAT | O_EXCL | O_WRONLY, mode);
    write_all(fd.get(), as_bytes(text), path);
    if (::fchmod(fd.get(), mode) != 0) throw_errno("fchmod", path);  // whatever the umask
    return path;
}

const std::vector<std::string>& WritableRoot::stubs() const {
    return state_->made_stubs;
}

void WritableRoot::unmount() {
    state_->overlay->unmount();
}

bool WritableRoot::shows_mount_points() const {
    return std::ranges::all_of(state_->made_stubs, [&](const std::string& path) {
        return path_exists(join_path(state_->root, path));
    });
}

TempDir WritableRoot::take_scratch() {
    SHALE_ENSURE(!state_->mounted);
    return std::move(state_->top);
}

}  // namespace shale::build
