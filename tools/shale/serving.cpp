// A writable mount is an overlay over the lazy one. Only the overlay has a place that others see:
// the lazy mount is detached from its own as soon as the overlay holds it, so that unmounting the
// overlay ends both, and the serving threads notice by themselves.
#include "serving.hpp"

#include "layer_views.hpp"
#include "mount_table.hpp"

#include <shale/build.hpp>
#include <shale/fuse.hpp>

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

namespace shale::cli {

namespace {

// Inodes of a mount::View are nodes, counted from one.
decltype(fuse::Options::origin) origin_of(const TreeArgument& shown) {
    const auto of_node = origin_attributes(shown);
    if (!of_node) return nullptr;
    return [of_node](mount::InodeId inode, std::string_view name) {
        return of_node(static_cast<snapshot::NodeId>(static_cast<std::uint64_t>(inode) - 1), name);
    };
}

// Mounts one view and remembers it.
class ViewMounter final : public build::TreeMounter {
  public:
    explicit ViewMounter(fuse::Options options) : options_(std::move(options)) {}
    std::unique_ptr<build::MountedTree> mount(std::shared_ptr<mount::View> view,
                                              const std::string& target) override {
        auto handle = std::make_unique<Handle>(std::move(view), target, options_);
        mounted_ = &handle->mounted;
        return handle;
    }
    fuse::Mounted& mounted() { return *mounted_; }

  private:
    struct Handle final : build::MountedTree {
        Handle(std::shared_ptr<mount::View> view, const std::string& target,
               const fuse::Options& options)
            : mounted(std::move(view), target, options) {}
        fuse::Mounted mounted;
    };
    fuse::Options options_;
    fuse::Mounted* mounted_ = nullptr;  // lives as long as the root that it was made for
};

// Whoever looks around in a stranger's image shall not run its set-id programs by accident.
// Where nobody else can reach it first, so that there is no moment in which they could: a bind
// mount inherits the flags.
void bind_for_inspection(const std::string& from, const std::string& target) {
    if (::mount(nullptr, from.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV,
                nullptr) != 0)
        throw_errno("remounting", from);
    if (::mount(from.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0)
        throw_errno("mounting at", target);
}

void detach(const std::string& target) {
    if (::umount2(target.c_str(), MNT_DETACH) != 0 && errno == EPERM)
        unmount_through_fusermount(target, true);
}

void require_empty_directory(const std::string& target) {
    if (!std::filesystem::is_empty(target))
        fail(ErrorKind::Invalid, target + " is not an empty directory");
}

std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

struct Serving::State {
    std::string target;
    // One of the two: a mount, or an overlay over one.
    std::unique_ptr<fuse::Mounted> mounted;
    std::unique_ptr<ViewMounter> mounter;
    std::unique_ptr<build::WritableRoot> root;
    std::optional<PublishedRecord> record;

    ~State() {
        if (root && !target.empty()) ::umount2(target.c_str(), MNT_DETACH);
    }
    fuse::Mounted& server() { return mounted ? *mounted : mounter->mounted(); }

    void mount_writable(store::Store& store, const std::shared_ptr<mount::View>& view,
                        fuse::Options options) {
        mounter = std::make_unique<ViewMounter>(std::move(options));
        root = std::make_unique<build::WritableRoot>(store, *mounter, view,
                                                     std::vector<std::string>{});
        bind_for_inspection(root->path(), target);
        ::umount2(root->path().c_str(), MNT_DETACH);
        ::umount2(mounter->mounted().target().c_str(), MNT_DETACH);
    }
};

Serving::Serving(const MountRequest& request, Workspace& workspace)
    : state_(std::make_unique<State>()) {
    state_->target = request.target;
    auto& store = workspace.store();
    const auto shown = obtain_tree(workspace, request.reference, request.platform);
    if (request.writable &&
        (!shown.image || split_part(request.reference).second.kind != Part::Kind::Whole))
        fail(ErrorKind::Invalid, "--rw wants a whole image, not " + request.reference);
    if (request.writable && ::geteuid() != 0)
        fail(ErrorKind::Unsupported, "--rw makes an overlay, which needs root");
    const auto view = shown.view(shown.tree);
    fuse::Options options;
    options.source_name = request.reference;
    if (request.origin) options.origin = origin_of(shown);
    MountRecord record;
    record.reference = request.reference;
    record.target = request.target;
    record.root = absolute(store.root());
    record.tier = "fuse";
    record.pid = ::getpid();
    record.since_ns = system_clock().now_ns();
    auto pins = shown.sources;
    if (shown.image) {
        record.manifest = shown.image->descriptor.digest.str();
        // For a commit: what it stands on must not be collected either.
        pins.push_back(shown.image->descriptor.digest);
        pins.push_back(shown.image->manifest.config.digest);
    }
    // Before the mount is made: a signal that came between would leave it behind.
    const auto stop = workspace.stop();
    if (request.writable) {
        require_empty_directory(request.target);
        store.keep_scratch();  // if we are killed, what was written is not lost with us
        state_->mount_writable(store, view, options);
        record.upper = absolute(state_->root->upper());
    } else {
        state_->mounted = std::make_unique<fuse::Mounted>(view, request.target, options);
    }
    state_->record.emplace(device_at(request.target), record);
    store.pin(pins);  // the store may be collected while we serve
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
}

Serving::~Serving() = default;

void Serving::wait(Workspace& workspace) {
    const std::stop_callback unmount(workspace.stop(), [this] { detach(state_->target); });
    state_->server().wait();
    // Somebody else's mount may be there by now.
    state_->target.clear();
}

}  // namespace shale::cli
