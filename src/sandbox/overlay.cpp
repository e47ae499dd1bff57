// OverlayMount, and the namespace that such mounts are made in. One that fits is mounted with text
// of one page, as every kernel knows it; data-only layers, many and long paths go through a file
// system context.
#include <shale/caller.hpp>
#include <shale/sandbox.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

namespace shale::sandbox {

namespace {

// mount(2) takes its options as text of one page.
constexpr std::size_t kMaxOptionBytes = 4095;
// What fsconfig(2) takes as one value.
constexpr std::size_t kMaxValueBytes = 255;

// With notes, redirect_dir and metacopy are on: chown of a file and mv of a directory write an
// attribute trusted.overlay.* instead of all their bytes. Trees hold none, so no lower made of
// foreign bytes can redirect a path elsewhere, and nobody in a container may write one. A user's
// overlay notes in user.overlay.*, which anybody may write, and follows none.
// index and xino off: the lower may lack file handles and wide inode numbers. volatile: the upper
// is thrown away after a crash, so syncing it is wasted.
constexpr std::string_view kVolatile = "volatile";
std::vector<std::string_view> overlay_options(bool notes) {
    std::vector<std::string_view> options{"index=off", "xino=off", kVolatile};
    const bool for_users = overlays_mark_for_users();
    if (notes && !for_users)
        options.insert(options.end(), {"redirect_dir=on", "metacopy=on"});
    else
        options.insert(options.end(), {"redirect_dir=nofollow", "metacopy=off"});
    if (for_users) options.emplace_back("userxattr");
    return options;
}

std::string escape(std::string_view path) {
    std::string text;
    for (const char letter : path) {
        if (letter == '\\' || letter == ',' || letter == ':') text.push_back('\\');
        text.push_back(letter);
    }
    return text;
}

void configure(int context, const char* key, const std::string& value) {
    if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
        throw_errno(fmt::format("overlay option {}", key), value);
}

void configure_option(int context, std::string_view option) {
    const auto equals = option.find('=');
    const std::string key(option.substr(0, equals));
    if (equals != std::string_view::npos)
        configure(context, key.c_str(), std::string(option.substr(equals + 1)));
    else if (::fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) != 0)
        throw_errno("overlay option", key);
}

void attach(const UniqueFd& mount, const std::string& target) {
    if (::move_mount(mount.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
        throw_errno("move_mount", target);
}

}  // namespace

// One layer at a time through a file system context (Linux 6.7), which has no limit of one page,
// but of 255 bytes for each, and knows data-only layers. Older kernels do not know "lowerdir+".
UniqueFd mount_overlay_detached(const OverlayLayers& layers) {
    const UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
    if (!context) throw_errno("fsopen", "overlay");
    configure(context.get(), "source", layers.source);
    std::vector<UniqueFd> opened;  // until all is mounted
    const auto add = [&](const char* key, const std::string& directory) {
        if (directory.size() <= kMaxValueBytes) return configure(context.get(), key, directory);
        opened.push_back(open_file(directory, O_PATH | O_DIRECTORY));
        configure(context.get(), key, fmt::format("/proc/self/fd/{}", opened.back().get()));
    };
    for (const auto& lower : layers.lowers)
        add("lowerdir+", lower);
    for (const auto& data : layers.data)
        add("datadir+", data);
    const bool is_writable = !layers.upper.empty();
    if (is_writable) {
        add("upperdir", layers.upper);
        add("workdir", layers.work);
    }
    for (const std::string_view option : overlay_options(layers.notes))
        if (is_writable || option != kVolatile) configure_option(context.get(), option);
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        throw_errno("mounting", "an overlay");
    const auto attributes =
        (is_writable ? 0u : MOUNT_ATTR_RDONLY + 0u) |
        (layers.allow_set_id_and_devices ? 0u : MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    UniqueFd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
    if (!mounted) throw_errno("fsmount", "overlay");
    return mounted;
}

OverlayMount::OverlayMount(const std::vector<std::string>& lowers, const std::string& upper,
                           const std::string& work, const std::string& target, bool notes) {
    if (lowers.empty()) fail(ErrorKind::Invalid, "an overlay needs at least one lower directory");
    std::string options = "lowerdir=";
    for (const auto& lower : lowers) {
        if (&lower != &lowers.front()) options.push_back(':');
        options.append(escape(lower));
    }
    options.append(",upperdir=").append(escape(upper)).append(",workdir=").append(escape(work));
    for (const std::string_view option : overlay_options(notes))
        options.append(",").append(option);
    if (options.size() > kMaxOptionBytes) {
        OverlayLayers layers{{lowers, {}}, upper, work};
        layers.notes = notes;
        attach(mount_overlay_detached(layers), target);
    } else if (::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
        throw_errno("mounting an overlay at", target);
    }
    target_ = target;
}

OverlayMount::OverlayMount(const OverlayLayers& layers, const std::string& target) {
    in_context([&] { return "mounting an overlay at " + target; },
               [&] { attach(mount_overlay_detached(layers), target); });
    target_ = target;
}

OverlayMount::~OverlayMount() {
    if (target_.empty()) return;
    if (::umount2(target_.c_str(), UMOUNT_NOFOLLOW) != 0)
        ::umount2(target_.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
}

bool overlays_mark_for_users() {
    return in_user_namespace();
}

bool enter_private_mounts() noexcept {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
}

void OverlayMount::unmount() {
    if (target_.empty()) return;
    if (::umount2(target_.c_str(), UMOUNT_NOFOLLOW) != 0) throw_errno("unmounting", target_);
    target_.clear();
}

}  // namespace shale::sandbox
