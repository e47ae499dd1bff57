// See local_registry.hpp. The registry is asked to listen on port 0 and prints the port it got, so
// no port is guessed and nothing is polled.
#include "local_registry.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace shale::test {
namespace {

// bcrypt of "secret".
constexpr const char* kUserLine =
    "user:$2b$05$4UCnyrPBI5oQBX31hhVpp.4HzVIkotkgE1exMk/b/vMu832jNraZy\n";

}  // namespace

LocalRegistry::LocalRegistry(const Options& options) {
    start(write_config(options));
    port_ = wait_for_port();
    drainer_ = std::thread([this] {
        char buffer[4096];
        while (::read(log_.get(), buffer, sizeof buffer) > 0) {
        }
    });
}

std::string LocalRegistry::write_config(const Options& options) const {
    std::string text = "version: 0.1\n"
                       "log: {level: info, accesslog: {disabled: true}}\n"
                       "storage:\n"
                       "  filesystem: {rootdirectory: " +
                       dir_.path() +
                       "/data}\n"
                       "  delete: {enabled: true}\n"
                       "http: {addr: '127.0.0.1:0'}\n";
    if (options.basic_auth) {
        write_file_atomic(dir_.path() + "/users", as_bytes(kUserLine));
        text += "auth: {htpasswd: {realm: test, path: " + dir_.path() + "/users}}\n";
    }
    const std::string path = dir_.path() + "/config.yml";
    write_file_atomic(path, as_bytes(text));
    return path;
}

void LocalRegistry::start(const std::string& config) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
    log_.reset(ends[0]);
    const UniqueFd write_end(ends[1]);
    pid_ = ::fork();
    if (pid_ < 0) throw_errno("fork");
    if (pid_ > 0) return;
    // The child: only async-signal-safe calls from here on.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::dup2(write_end.get(), STDERR_FILENO);
    ::execl(kProgram, kProgram, "serve", config.c_str(), nullptr);
    ::_exit(127);
}

int LocalRegistry::wait_for_port() {
    constexpr std::string_view kMark = "listening on 127.0.0.1:";
    std::string log;
    char buffer[4096];
    while (true) {
        const auto mark = log.find(kMark);
        if (mark != std::string::npos && log.find('\n', mark) != std::string::npos)
            return std::atoi(log.c_str() + mark + kMark.size());
        const ssize_t count = ::read(log_.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            stop();
            fail(ErrorKind::System, std::string(kProgram) + " did not start: " + log);
        }
        log.append(buffer, static_cast<std::size_t>(count));
    }
}

std::string LocalRegistry::blob_path(const Digest& blob) const {
    const std::string hex = blob.hex();
    return dir_.path() + "/data/docker/registry/v2/blobs/sha256/" + hex.substr(0, 2) + "/" + hex +
           "/data";
}

void LocalRegistry::stop() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    pid_ = -1;
    if (drainer_.joinable()) drainer_.join();
}

}  // namespace shale::test
