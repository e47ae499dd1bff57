// The messages: fields that end with a zero byte, and the end of the stream behind the last. Paths
// hold anything but zero bytes.
#include "socket.hpp"

#include <shale/caller.hpp>
#include <shale/codec.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <thread>

namespace shale::watch {

namespace {

constexpr std::string_view kProtocol = "shale-watch-1";
constexpr std::size_t kMaxQuestionBytes = 1024;
constexpr int kAttemptsToListen = 40;
constexpr auto kBetweenAttempts = std::chrono::milliseconds(50);
constexpr std::size_t kMaxAnswerBytes = 1 << 30;
constexpr time_t kPatienceSeconds = 30;

// An abstract name; the user is part of it, so that users do not stand in each other's way. It is
// the one that a build in a user namespace was started by, as the watcher outside was.
socklen_t address_of(const std::string& path, sockaddr_un& address) {
    const std::string name = std::string(1, '\0') + "shale-watch-" + std::to_string(outer_uid()) +
                             "-" + codec::sha256(path).hex().substr(0, 32);
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
}

// Anybody may take an abstract name: what counts is who does.
bool is_trusted(int connection) {
    ucred peer{};
    socklen_t bytes = sizeof peer;
    return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           (peer.uid == 0 || peer.uid == ::geteuid());
}

void set_patience(int connection) {
    const timeval patience{kPatienceSeconds, 0};
    ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

// False if the peer is gone: then there is nobody left to tell.
bool send_all(int connection, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}

// nullopt unless the peer said all of it and closed its side.
std::optional<std::string> receive_all(int connection, std::size_t limit) {
    std::string text;
    char buffer[64 << 10];
    for (;;) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::nullopt;
        if (count == 0) return text;
        text.append(buffer, static_cast<std::size_t>(count));
        if (text.size() > limit) return std::nullopt;
    }
}

class Fields {
  public:
    explicit Fields(std::string_view text) : rest_(text) {}
    std::string_view next() {
        const auto end = rest_.find('\0');
        if (end == std::string_view::npos) {
            is_bad_ = true;
            return {};
        }
        const auto field = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return field;
    }
    std::uint64_t number() {
        const auto field = next();
        std::uint64_t value = 0;
        const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
        is_bad_ |= error != std::errc() || end != field.data() + field.size();
        return value;
    }
    bool at_end() const { return rest_.empty(); }
    bool is_good() const { return !is_bad_; }

  private:
    std::string_view rest_;
    bool is_bad_ = false;
};

void put(std::string& out, std::string_view field) {
    out.append(field).push_back('\0');
}

std::optional<Answer> decode_answer(std::string_view text) {
    Fields fields(text);
    Answer answer;
    if (fields.next() != kProtocol) return std::nullopt;
    answer.now.instance = fields.next();
    answer.now.moment = fields.number();
    answer.complete = fields.next() == "complete";
    answer.why = fields.next();
    const std::uint64_t count = fields.number();
    for (std::uint64_t at = 0; at < count && fields.is_good(); ++at) {
        Change change;
        change.with_subtree = fields.next() == "subtree";
        change.path = fields.next();
        answer.changes.push_back(std::move(change));
    }
    if (!fields.is_good() || !fields.at_end()) return std::nullopt;
    return answer;
}

}  // namespace

Identity identify(const std::string& directory) {
    char resolved[PATH_MAX];
    if (!::realpath(directory.c_str(), resolved)) throw_errno("resolve", directory);
    struct stat status {};
    if (::stat(resolved, &status) != 0) throw_errno("stat", directory);
    if (!S_ISDIR(status.st_mode)) throw_errno(ENOTDIR, "watch", directory);
    return {resolved, status.st_dev, status.st_ino};
}

UniqueFd listen_for(const Identity& directory) {
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) throw_errno("socket", "of the watcher");
    sockaddr_un address{};
    const socklen_t bytes = address_of(directory.path, address);
    for (int attempt = 0;
         ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0;
         ++attempt) {
        if (errno != EADDRINUSE) throw_errno("bind", "the watcher's socket");
        // By one of the directory that was here before, perhaps: asked about this one, it ends.
        const auto answer = attempt == 0 ? ask(directory.path, {}) : std::nullopt;
        if ((answer && !answer->now.instance.empty()) || attempt == kAttemptsToListen)
            fail(ErrorKind::Invalid, "'" + directory.path + "' is being watched already");
        std::this_thread::sleep_for(kBetweenAttempts);
    }
    if (::listen(listener.get(), 16) != 0) throw_errno("listen", "on the watcher's socket");
    return listener;
}

std::optional<Question> read_question(int connection) {
    if (!is_trusted(connection)) return std::nullopt;
    set_patience(connection);
    const auto text = receive_all(connection, kMaxQuestionBytes);
    if (!text) return std::nullopt;
    Fields fields(*text);
    if (fields.next() != kProtocol) return std::nullopt;
    Question question;
    question.dev = fields.number();
    question.ino = fields.number();
    question.since.instance = fields.next();
    question.since.moment = fields.number();
    if (!fields.is_good() || !fields.at_end()) return std::nullopt;
    return question;
}

void send_answer(int connection, const Answer& answer) {
    std::string text;
    put(text, kProtocol);
    put(text, answer.now.instance);
    put(text, std::to_string(answer.now.moment));
    put(text, answer.complete ? "complete" : "incomplete");
    put(text, answer.why);
    put(text, std::to_string(answer.changes.size()));
    for (const Change& change : answer.changes) {
        put(text, change.with_subtree ? "subtree" : "entry");
        put(text, change.path);
    }
    send_all(connection, text);
}

// A watcher that dies while it answers, or says what cannot be understood, is no watcher.
std::optional<Answer> ask(const std::string& directory, const Token& token) {
    const Identity identity = identify(directory);
    const UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!connection) throw_errno("socket", "to the watcher");
    set_patience(connection.get());
    sockaddr_un address{};
    const socklen_t bytes = address_of(identity.path, address);
    if (::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), bytes) != 0 ||
        !is_trusted(connection.get()))
        return std::nullopt;
    std::string question;
    put(question, kProtocol);
    put(question, std::to_string(identity.dev));
    put(question, std::to_string(identity.ino));
    put(question, token.instance);
    put(question, std::to_string(token.moment));
    if (!send_all(connection.get(), question) || ::shutdown(connection.get(), SHUT_WR) != 0)
        return std::nullopt;
    const auto answer = receive_all(connection.get(), kMaxAnswerBytes);
    if (!answer) return std::nullopt;
    return decode_answer(*answer);
}

}  // namespace shale::watch
