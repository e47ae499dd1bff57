// What all parts of one build() call share. Nothing in here is a decision; those are in plan,
// stage, step and the exporters.
#pragma once

#include "arguments.hpp"
#include "cache_mount.hpp"
#include "context.hpp"
#include "lint.hpp"
#include "named_contexts.hpp"
#include "secrets.hpp"
#include "sources.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <atomic>
#include <mutex>
#include <semaphore>
#include <stop_token>

namespace shale::build {

struct Session {
    const Request& request;
    Services& services;
    Tracker& tracker;
    const dockerfile::File& file;
    const std::string& definition_path;  // empty if the text came from standard input
    const Arguments& arguments;
    Context& context;
    Sources& sources;
    oci::Platform platform;
    std::stop_token stop;
    // Bounds RUN and layer work, not stages: a stage waiting for another holds no slot.
    std::counting_semaphore<256>& slots;
    std::atomic<std::uint32_t> steps{0}, cached_steps{0};
    std::once_flag told_of_network{};  // once a build, not once a RUN
    LintLog lint{};
    CacheMounts cache_mounts{services.store};
    SshAgents ssh_agents{request.ssh};

    // The time of directories that the build makes: SOURCE_DATE_EPOCH, or now.
    std::int64_t creation_ns() const {
        return request.source_date_epoch ? *request.source_date_epoch * 1'000'000'000
                                         : services.clock.now_ns();
    }

    NamedContexts contexts() const { return {request.build_contexts, platform}; }

    // Throws Cancelled once the build has been stopped.
    void check_stop() const {
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
    }
};

// Holds one of Session::slots.
class Slot {
  public:
    explicit Slot(Session& session) : session_(session) { session_.slots.acquire(); }
    ~Slot() { session_.slots.release(); }
    Slot(const Slot&) = delete;

  private:
    Session& session_;
};

}  // namespace shale::build
