// A writable mount is an overlay over the lazy one, a metadata image can be seen through an overlay
// only. Of these only the overlay has a place that others see: what is below is detached from its
// own as soon as the overlay holds it, so that unmounting the overlay ends both, and the serving
// threads notice by themselves.
#include "serving.hpp"

#include "layer_views.hpp"
#include "mount_table.hpp"
#include "tree_server.hpp"

#include <shale/build.hpp>
#include <shale/fuse.hpp>

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
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

// Makes one server, in the way it is told, and remembers it.
class ServerMounter final : public build::TreeMounter {
  public:
    using Serve = std::function<std::unique_ptr<TreeServer>(const std::string& target)>;
    explicit ServerMounter(Serve serve) : serve_(std::move(serve)) {}
    std::unique_ptr<build::MountedTree> mount(std::shared_ptr<mount::View>,
                                              const std::string& target) override {
        auto server = serve_(target);
        server_ = server.get();
        return server;
    }
    TreeServer& server() { return *server_; }

  private:
    Serve serve_;
    TreeServer* server_ = nullptr;  // lives as long as the root that it was made for
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

MountRecord record_of(const MountRequest& request, const store::Store& store,
                      const TierChoice& choice) {
    MountRecord record;
    record.reference = request.reference;
    record.target = request.target;
    record.root = absolute(store.root());
    record.tier = name_of(choice.tier);
    record.why = choice.why;
    record.since_ns = system_clock().now_ns();
    return record;
}

// Of a mount of an image in a registry: a read that waits for the network keeps a thread, not a
// processor. The others answer what needs no network, however long that takes.
constexpr unsigned kThreadsThatRead = 60, kThreadsThatAnswer = 4;

void prepare_to_fetch(const MountRequest& request, const TreeArgument& shown,
                      const TierChoice& choice) {
    if (request.ahead && !shown.remote)
        fail(ErrorKind::Invalid, "--record, --complete and --no-prefetch are for images that stay "
                                 "in their registry (docker://), which " +
                                     request.reference + " does not");
    const auto wish = request.ahead.value_or(FetchAhead{});
    if (wish.record && choice.tier != Tier::Fuse)
        fail(ErrorKind::Invalid, "--record wants --tier fuse");
    if (shown.remote) shown.remote->prepare(wish);
}

}  // namespace

struct Serving::State {
    std::string target;
    TierChoice choice;
    // One of two: a server, perhaps below a read-only overlay, or a writable root over one.
    std::unique_ptr<TreeServer> plain;
    std::optional<sandbox::OverlayMount> overlay;
    std::unique_ptr<ServerMounter> mounter;
    std::unique_ptr<build::WritableRoot> root;
    std::optional<PublishedRecord> record;
    std::shared_ptr<RemoteImage> remote;
    bool is_paused = false;

    ~State() {
        if (root && !target.empty()) ::umount2(target.c_str(), MNT_DETACH);
    }
    TreeServer& server() { return plain ? *plain : mounter->server(); }

    using Serve = ServerMounter::Serve;
    void mount_writable(store::Store& store, const std::shared_ptr<mount::View>& view,
                        Serve serve) {
        require_empty_directory(target);
        mounter = std::make_unique<ServerMounter>(std::move(serve));
        root = std::make_unique<build::WritableRoot>(store, *mounter, view,
                                                     std::vector<std::string>{});
        bind_for_inspection(root->path(), target);
        ::umount2(root->path().c_str(), MNT_DETACH);
        mounter->server().leave_to_overlay();
    }
    void mount_image(std::unique_ptr<TreeServer> server, const std::string& source) {
        require_empty_directory(target);
        sandbox::OverlayLayers layers{server->base(), {}, {}};
        layers.source = source;
        layers.allow_set_id_and_devices = false;
        overlay.emplace(layers, target);
        server->leave_to_overlay();
        plain = std::move(server);
    }

    void mount(const MountRequest& request, store::Store& store,
               const std::shared_ptr<mount::View>& view, const fuse::Options& options) {
        if (choice.tier == Tier::Erofs) {
            const auto scratch = store.scratch("image-");
            const auto as_image = [&](const std::string&) {
                return serve_as_image(view, scratch.path());
            };
            if (request.writable) return mount_writable(store, view, as_image);
            return mount_image(as_image({}), request.reference);
        }
        const auto through_fuse = [&](const std::string& place) {
            return serve_through_fuse(view, place, options);
        };
        if (request.writable) return mount_writable(store, view, through_fuse);
        plain = through_fuse(target);
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
    state_->choice = choose_tier(
        request.tier, {.is_root = ::geteuid() == 0, .has_contents = shown.open != nullptr});
    prepare_to_fetch(request, shown, state_->choice);
    state_->remote = shown.remote;
    const auto view = shown.view(shown.tree);
    fuse::Options options;
    if (shown.remote) {
        options.threads = kThreadsThatRead + kThreadsThatAnswer;
        options.reading_threads = kThreadsThatRead;
    }
    options.source_name = request.reference;
    if (request.origin) options.origin = origin_of(shown);
    auto pins = shown.sources;
    if (shown.image) {
        // For a commit: what it stands on must not be collected either.
        pins.push_back(shown.image->descriptor.digest);
        pins.push_back(shown.image->manifest.config.digest);
    }
    // Before the mount is made: a signal that came between would leave it behind.
    const auto stop = workspace.stop();
    if (request.writable)
        store.keep_scratch();  // if we are killed, what was written is not lost with us
    state_->mount(request, store, view, options);
    auto record = record_of(request, store, state_->choice);
    if (shown.image) record.manifest = shown.image->descriptor.digest.str();
    if (request.writable) record.upper = absolute(state_->root->upper());
    state_->record.emplace(device_at(request.target), record);
    store.pin(pins);  // the store may be collected while we serve
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
}

Serving::~Serving() = default;

void Serving::pause() {
    state_->server().pause();
    state_->is_paused = true;
}

void Serving::go_on(std::int64_t holder, bool after_another) {
    SHALE_ENSURE(state_->is_paused);
    state_->is_paused = false;
    state_->record->publish(holder);
    if (state_->remote) state_->remote->begin(after_another);
    state_->server().resume(after_another);
}

const TierChoice& Serving::tier() const {
    return state_->choice;
}

void Serving::wait(Workspace& workspace) {
    const std::stop_callback unmount(workspace.stop(), [this] { detach(state_->target); });
    state_->server().wait();
    // Somebody else's mount may be there by now.
    if (state_->overlay) state_->overlay->forget();
    state_->target.clear();
}

}  // namespace shale::cli
