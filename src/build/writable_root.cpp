// The order of mounts matters and is undone in reverse: lazy mount, then overlay. Stub mount points
// (/proc, /etc/hosts, ...) live in a lowest overlay layer of their own: the runtime finds what it
// wants to mount over, and nothing of it can reach the upper.
#include "copy.hpp"

#include <shale/build.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <optional>

namespace shale::build {
namespace {

// The runtime mounts at the end of links (/etc/resolv.conf often is one, into /run), and would
// create what is missing there; so the stub stands at the end, too.
void make_stubs(const std::string& directory, const snapshot::Tree& tree) {
    const snapshot::TreeBuilder view(tree);
    for (const auto& point : sandbox::mount_points()) {
        const auto path = join_path(directory, resolve_destination(view, point));
        if (point.ends_with('/') || point.find('/') == std::string::npos) {
            make_directories(path);
        } else {
            make_directories(path.substr(0, path.rfind('/')));
            open_file(path, O_CREAT | O_WRONLY);
        }
    }
}

// The overlay's root inode is the upper directory's: it must look like the parent's root, or every
// RUN would seem to change "/".
void dress_upper(const std::string& upper, const snapshot::Entry& root) {
    if (::chown(upper.c_str(), root.uid, root.gid) != 0) throw_errno("chown", upper);
    if (::chmod(upper.c_str(), root.mode) != 0) throw_errno("chmod", upper);
    for (const auto& xattr : root.xattrs)
        if (::lsetxattr(upper.c_str(), xattr.name.c_str(), xattr.value.data(), xattr.value.size(),
                        0) != 0)
            throw_errno("setxattr " + xattr.name, upper);
    const timespec time{root.mtime_ns / 1'000'000'000, root.mtime_ns % 1'000'000'000};
    const timespec times[2] = {time, time};
    if (::utimensat(AT_FDCWD, upper.c_str(), times, 0) != 0) throw_errno("utimensat", upper);
}

}  // namespace

struct WritableRoot::State {
    TempDir top;
    std::string lower, stubs, upper, work, root, files;
    std::shared_ptr<mount::View> view;
    std::unique_ptr<MountedTree> mounted;
    std::optional<sandbox::OverlayMount> overlay;

    State(store::Store& store, const snapshot::Tree& tree) : top(store.scratch("run-")) {
        for (auto [path, name] : {std::pair{&lower, "lower"},
                                  {&stubs, "stubs"},
                                  {&upper, "upper"},
                                  {&work, "work"},
                                  {&root, "root"},
                                  {&files, "files"}}) {
            *path = join_path(top.path(), name);
            make_directories(*path);
        }
        make_stubs(stubs, tree);
    }
};

WritableRoot::WritableRoot(store::Store& store, TreeMounter& mounter,
                           std::shared_ptr<const snapshot::Tree> tree,
                           const std::vector<Digest>& sources)
    : state_(std::make_unique<State>(store, *tree)) {
    dress_upper(state_->upper, tree->entry(snapshot::kRoot));
    state_->view = std::make_shared<mount::View>(std::move(tree), store.content_index(sources),
                                                 store.framed());
    state_->mounted = mounter.mount(state_->view, state_->lower);
    state_->overlay.emplace(std::vector{state_->lower, state_->stubs}, state_->upper, state_->work,
                            state_->root);
}

WritableRoot::~WritableRoot() = default;

const std::string& WritableRoot::path() const {
    return state_->root;
}
const std::string& WritableRoot::upper() const {
    return state_->upper;
}
mount::View& WritableRoot::view() {
    return *state_->view;
}

std::string WritableRoot::add_file(const std::string& name, std::string_view text, unsigned mode) {
    const auto path = join_path(state_->files, name);
    const UniqueFd fd = open_file(path, O_CREAT | O_EXCL | O_WRONLY, mode);
    write_all(fd.get(), as_bytes(text), path);
    if (::fchmod(fd.get(), mode) != 0) throw_errno("fchmod", path);  // whatever the umask
    return path;
}

void WritableRoot::unmount() {
    state_->overlay->unmount();
}

}  // namespace shale::build
