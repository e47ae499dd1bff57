// The watcher: events into the dirty set, questions answered from it.
#include "dirty_set.hpp"
#include "mounts.hpp"
#include "notifier.hpp"
#include "socket.hpp"

#include <shale/watch.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

namespace shale::watch {

namespace {

// How soon a request to stop is noticed.
constexpr int kPollMs = 200;
// How soon that the directory is gone.
constexpr auto kLookEvery = std::chrono::seconds(5);

std::unique_ptr<Notifier> create_notifier(Backend backend, int root_fd, const std::string& root) {
    if (backend != Backend::Inotify)
        if (auto notifier = create_fanotify(root_fd, root)) return notifier;
    if (backend != Backend::Fanotify)
        if (auto notifier = create_inotify(root_fd, root)) return notifier;
    fail(ErrorKind::Denied, "'" + root +
                                "' cannot be watched: fanotify needs root and a file "
                                "system that supports it, inotify enough watches "
                                "(fs.inotify.max_user_watches)");
}

}  // namespace

struct Watcher::State {
    State(const std::string& directory, const Options& options)
        : identity(identify(directory)), root(open_file(identity.path, O_RDONLY | O_DIRECTORY)),
          dirty(options.max_changes), mounts(mounts_around(identity.path)),
          notifier(create_notifier(options.backend, root.get(), identity.path)) {
        // The mark is on what `root` is; so must be all that is said about the path.
        if (!is_in_place())
            fail(ErrorKind::Invalid, "'" + directory + "' was replaced while its watch began");
    }

    bool is_in_place() const {
        struct stat status {};
        return ::stat(identity.path.c_str(), &status) == 0 && status.st_dev == identity.dev &&
               status.st_ino == identity.ino;
    }

    // Why the events cannot be trusted to be all; empty if they can.
    std::string doubt() {
        if (!is_in_place()) return "the directory was moved or replaced";
        const Mounts now = mounts_around(identity.path);
        const bool was_below = std::exchange(mounts_below, now.any_below);
        if (now.any_below) return "other file systems are mounted below it";
        if (was_below) return "a file system below it was unmounted";
        if (now.around != mounts.around) {
            mounts = now;
            return "file systems were mounted or unmounted around it";
        }
        return {};
    }

    Answer answer(const Token& token) {
        notifier->drain(dirty);
        if (auto why = doubt(); !why.empty()) dirty.forget(std::move(why));
        Answer answer;
        answer.now = {instance, dirty.next_moment()};
        if (token.instance != instance)
            answer.why = "the watcher was started later";
        else if (!dirty.knows_since(token.moment))
            answer.why = dirty.why_not();
        else
            answer.complete = true;
        if (answer.complete) answer.changes = dirty.since(token.moment);
        return answer;
    }

    // Whether the directory is not where it was, so that nobody will ask for it any more. Looked
    // at now and then.
    bool is_gone() {
        const auto now = std::chrono::steady_clock::now();
        if (looked_at && now - *looked_at < kLookEvery) return false;
        looked_at = now;
        return !is_in_place();
    }

    void answer_next(int listener) {
        const UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (!connection) return;  // who asked has gone
        const auto question = read_question(connection.get());
        if (!question) return;
        if (question->dev != identity.dev || question->ino != identity.ino) {
            Answer other;
            other.why = "the watcher sees another directory at this path";
            send_answer(connection.get(), other);
            looked_at = {};  // who asks knows better than we do
            return;
        }
        send_answer(connection.get(), answer(question->since));
    }

    const std::string instance = random_hex(16);
    const Identity identity;
    const UniqueFd root;
    DirtySet dirty;
    Mounts mounts;  // as of the last look
    bool mounts_below = false;
    std::optional<std::chrono::steady_clock::time_point> looked_at =
        std::chrono::steady_clock::now();
    std::unique_ptr<Notifier> notifier;
};

Watcher::Watcher(const std::string& directory, const Options& options)
    : state_(std::make_unique<State>(directory, options)) {}
Watcher::~Watcher() = default;

Answer Watcher::changes_since(const Token& token) {
    return state_->answer(token);
}

std::string_view Watcher::backend() const {
    return state_->notifier->name();
}

void Watcher::serve(const std::stop_token& stop, const std::function<void()>& on_ready) {
    const UniqueFd listener = listen_for(state_->identity);
    if (on_ready) on_ready();
    pollfd events[] = {{state_->notifier->fd(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
    while (!stop.stop_requested()) {
        const int ready = ::poll(events, 2, kPollMs);
        if (ready < 0 && errno != EINTR) throw_errno("poll", "the watcher's events");
        if (state_->is_gone()) break;
        if (ready <= 0) continue;
        if (events[0].revents) state_->notifier->drain(state_->dirty);
        if (events[1].revents) state_->answer_next(listener.get());
    }
}

}  // namespace shale::watch
