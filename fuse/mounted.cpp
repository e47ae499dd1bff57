// Life of a FUSE mount: session, serving threads, unmounting. The operations are in operations.cpp.
//
// Each thread waits for the device and a stop event, then takes one request with a non-blocking
// read. A blocking read could only be ended by the kernel aborting the connection, which a busy
// mount does not do when it is unmounted lazily, and then the destructor would wait for strangers.
// The threads wait exclusively, as they would in a blocking read: a request wakes one of them. With
// poll(2) it woke all, and each but one ran for nothing on a core that the asking program wanted.
#include "operations.hpp"

#include <shale/fuse.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace shale::fuse {
namespace {

// Fewer, larger requests on sequential reads; the default of 128 kB caps requests at that size.
constexpr int kReadAheadKilobytes = 1024;
// FUSE_NOTIFY_RESEND of linux/fuse.h, since Linux 6.9: requests that were read and not answered
// come again.
constexpr int kNotifyResend = 7;

void check_target(const std::string& target) {
    if (::access("/dev/fuse", R_OK | W_OK) != 0)
        fail(ErrorKind::Unsupported,
             errno == ENOENT ? "there is no /dev/fuse; load the fuse kernel module"
                             : "/dev/fuse may not be opened by this user; udev makes it with mode "
                               "0666, which `chmod 666 /dev/fuse` does, too");
    DIR* directory = ::opendir(target.c_str());
    if (!directory) throw_errno("open", target);
    bool empty = true;
    while (const dirent* item = ::readdir(directory)) {
        const std::string_view name = item->d_name;
        empty = empty && (name == "." || name == "..");
    }
    ::closedir(directory);
    if (!empty) fail(ErrorKind::Invalid, target + " is not an empty directory");
}

// A comma in an -o value would start another option.
std::string option_safe(std::string text) {
    for (char& c : text)
        if (c == ',' || c == '\\') c = '_';
    return text;
}

// `directory` below `target`, or `target` itself: as fstatat(2) takes them.
void set_read_ahead(int directory, const std::string& target) {
    struct stat status {};
    if (::fstatat(directory, target.c_str(), &status, AT_EMPTY_PATH) != 0) return;
    const auto path = fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", major(status.st_dev),
                                  minor(status.st_dev));
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    const auto text = std::to_string(kReadAheadKilobytes);
    // Only a matter of speed, and only root may: failure is fine.
    if (fd && ::write(fd.get(), text.data(), text.size()) < 0) return;
}

// What one thread waits on: a request of its own, or the end.
UniqueFd make_waiter(int device, int stop) {
    UniqueFd waiter(::epoll_create1(EPOLL_CLOEXEC));
    if (!waiter) throw_errno("epoll_create1");
    for (auto [fd, events] :
         {std::pair{stop, std::uint32_t{EPOLLIN}}, {device, EPOLLIN | EPOLLEXCLUSIVE}}) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        if (::epoll_ctl(waiter.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
    }
    return waiter;
}

struct Connection {
    UniqueFd device, mount;  // the latter stands for the mount's root
};

// What libfuse cannot do: a mount without a place, through a file system context.
Connection connect_detached() {
    Connection made;
    made.device = open_file("/dev/fuse", O_RDWR);
    const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
    if (!context) throw_errno("fsopen", "fuse");
    const auto set = [&](const char* key, const std::string& value) {
        if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
            throw_errno("fuse option " + std::string(key), value);
    };
    set("source", "shale");
    set("subtype", "shale");
    set("fd", std::to_string(made.device.get()));
    set("rootmode", fmt::format("{:o}", S_IFDIR));
    set("user_id", "0");
    set("group_id", "0");
    set("max_read", std::to_string(kMaxRead));
    for (const char* flag : {"allow_other", "default_permissions", "ro"})
        if (::fsconfig(context.get(), FSCONFIG_SET_FLAG, flag, nullptr, 0) != 0)
            throw_errno("fuse option", flag);
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        throw_errno("mounting", "fuse");
    made.mount = UniqueFd(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
    if (!made.mount) throw_errno("fsmount", "fuse");
    return made;
}

}  // namespace

struct Mounted::State {
    std::string target;
    Server server;
    fuse_session* session = nullptr;
    UniqueFd stop;
    std::vector<std::jthread> threads;
    unsigned thread_count = 0;
    bool mounted = false;
    std::atomic<bool> gone = false;  // somebody else unmounted it; its place may be another's now

    UniqueFd detached;  // a mount without a place

    template <typename Shown>
    State(std::shared_ptr<Shown> shown, std::string where)
        : target(std::move(where)), server(std::move(shown)) {}

    ~State() {
        const bool refused = mounted && !gone && !unmount();
        for (const ReadJob& job : server.read_line().close())
            fuse_reply_err(job.request, EIO);
        end_threads();
        // Through fusermount3, as an ordinary user mounted it. It closes the device: not before
        // the threads have let go of that.
        if (refused) fuse_session_unmount(session);
        if (session) fuse_session_destroy(session);
    }

    void start_session(const std::string& mount_options, const std::string& mount_point) {
        std::array<const char*, 3> argv{"shale", "-o", mount_options.c_str()};
        fuse_args args = FUSE_ARGS_INIT(argv.size(), const_cast<char**>(argv.data()));
        session = fuse_session_new(&args, &server.operations(), sizeof(fuse_lowlevel_ops), &server);
        fuse_opt_free_args(&args);
        if (!session) fail(ErrorKind::System, "libfuse refused the options " + mount_options);
        if (fuse_session_mount(session, mount_point.c_str()) != 0)
            fail(ErrorKind::System, "mounting at " + mount_point + " failed");
    }

    void end_threads() {
        const std::uint64_t one = 1;
        if (stop && ::write(stop.get(), &one, sizeof one) < 0) std::terminate();
        threads.clear();
    }

    void ask_again() const {
        // fuse_out_header of linux/fuse.h, which does not go with libfuse's headers.
        const struct {
            std::uint32_t bytes;
            std::int32_t code;
            std::uint64_t unique;
        } header{sizeof header, kNotifyResend, 0};
        if (::write(fuse_session_fd(session), &header, sizeof header) < 0 && errno != ENOTCONN &&
            errno != ENODEV)  // gone, as the threads will find
            throw Error(ErrorKind::Unsupported,
                        "this kernel does not repeat requests (Linux 6.9 does)");
    }

    void start_threads(unsigned count) {
        thread_count = count;
        const int device = fuse_session_fd(session);
        if (::fcntl(device, F_SETFL, ::fcntl(device, F_GETFL) | O_NONBLOCK) != 0)
            throw_errno("fcntl", "/dev/fuse");
        stop = UniqueFd(::eventfd(0, EFD_CLOEXEC));
        if (!stop) throw_errno("eventfd");
        for (unsigned i = 0; i < std::max(1u, count); ++i)
            threads.emplace_back(
                [this, waiter = make_waiter(device, stop.get())] { serve(waiter.get()); });
    }

    // False if this process may not.
    bool unmount() {
        if (::umount2(target.c_str(), 0) == 0 || errno == EINVAL || errno == ENOENT) return true;
        return ::umount2(target.c_str(), MNT_DETACH) == 0 || errno != EPERM;
    }

    void serve(int waiter) {
        fuse_buf request{};
        while (!fuse_session_exited(session)) {
            epoll_event event{};
            const int ready = ::epoll_wait(waiter, &event, 1, -1);
            if (ready < 0 && errno != EINTR) break;
            if (ready <= 0) continue;
            if (event.data.fd == stop.get()) break;
            const int got = fuse_session_receive_buf(session, &request);
            if (got == -EINTR || got == -EAGAIN) continue;  // another thread took it
            if (got <= 0) {                                 // unmounted
                gone = true;
                break;
            }
            server.count_request();
            fuse_session_process_buf(session, &request);
        }
        std::free(request.mem);  // libfuse allocates it with malloc and leaves it to us
    }
};

Mounted::Mounted(std::shared_ptr<mount::View> view, const std::string& target,
                 const Options& options)
    : state_(std::make_unique<State>(std::move(view), target)) {
    check_target(target);
    state_->server.set_origin(options.origin);
    state_->server.read_line().set_limit(options.reading_threads);
    // fusermount3 lets an ordinary user show a mount to nobody else, and to him everything in an
    // image that he could unpack may be readable.
    const bool is_root = ::geteuid() == 0;
    const auto mount_options = fmt::format(
        "ro{},subtype=shale,fsname={},max_read={}{}",
        is_root ? ",allow_other,default_permissions" : "", option_safe(options.source_name),
        kMaxRead, options.allow_set_id_and_devices ? ",suid,dev" : ",nosuid,nodev");
    state_->start_session(mount_options, target);
    state_->mounted = true;
    state_->start_threads(options.threads);
    // Asks for the root's attributes, so that from here on the connection is settled: a copy of
    // this process, after pause(), would not get to see how.
    set_read_ahead(AT_FDCWD, target);
}

Mounted::Mounted(std::shared_ptr<mount::ContentView> contents)
    : state_(std::make_unique<State>(std::move(contents), std::string())) {
    auto made = connect_detached();
    state_->detached = std::move(made.mount);
    // libfuse takes the descriptor as its own and leaves the mount alone.
    state_->start_session(fmt::format("max_read={}", kMaxRead),
                          fmt::format("/dev/fd/{}", made.device.get()));
    made.device.release();
    state_->start_threads(Options().threads);
    set_read_ahead(state_->detached.get(), "");
}

UniqueFd Mounted::release_mount() {
    return std::move(state_->detached);
}

Mounted::~Mounted() = default;

const std::string& Mounted::target() const {
    return state_->target;
}

void Mounted::wait() {
    for (auto& thread : state_->threads)
        if (thread.joinable()) thread.join();
}

void Mounted::pause() {
    state_->end_threads();
}

void Mounted::resume(bool after_another) {
    if (after_another) state_->ask_again();
    state_->start_threads(state_->thread_count);
}

Mounted::Stats Mounted::stats() const {
    return state_->server.stats();
}

}  // namespace shale::fuse
