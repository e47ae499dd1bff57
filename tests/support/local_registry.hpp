// A real registry (Debian's docker-registry) on a free loopback port, for as long as the object
// lives. It listens before the constructor returns; it and its files are gone after the destructor,
// and it dies with the test program even if that crashes.
#pragma once

#include <shale/base.hpp>

#include <sys/types.h>

#include <string>
#include <thread>

namespace shale::test {

class LocalRegistry {
  public:
    struct Options {
        bool basic_auth = false;  // user "user", password "secret"
    };
    static constexpr const char* kProgram = "/usr/bin/docker-registry";
    // False if it is not installed: skip the test and say so.
    static bool is_available() { return path_exists(kProgram); }

    LocalRegistry() : LocalRegistry(Options{}) {}
    explicit LocalRegistry(const Options& options);
    LocalRegistry(const LocalRegistry&) = delete;
    LocalRegistry& operator=(const LocalRegistry&) = delete;
    ~LocalRegistry() { stop(); }

    std::string domain() const { return "127.0.0.1:" + std::to_string(port_); }
    // Where the registry keeps the bytes of a blob, to be damaged.
    std::string blob_path(const Digest& blob) const;
    // Ends the process; the port stays refused. Idempotent.
    void stop();

  private:
    std::string write_config(const Options& options) const;
    void start(const std::string& config);
    int wait_for_port();

    TempDir dir_;
    pid_t pid_ = -1;
    int port_ = 0;
    UniqueFd log_;         // read end of the registry's standard error
    std::thread drainer_;  // so that a full pipe never stops the registry
};

}  // namespace shale::test
