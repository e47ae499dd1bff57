// What all parts of one build() call share, and what the evaluation for one platform shares.
// Nothing in here is a decision; those are in plan, stage, step and the exporters.
#pragma once

#include "arguments.hpp"
#include "cache_import.hpp"
#include "cache_mount.hpp"
#include "context.hpp"
#include "explain_miss.hpp"
#include "facts.hpp"
#include "jobs.hpp"
#include "lint.hpp"
#include "live_roots.hpp"
#include "named_contexts.hpp"
#include "once_table.hpp"
#include "recorder.hpp"
#include "root.hpp"
#include "secrets.hpp"
#include "sources.hpp"
#include "stop.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <stop_token>

namespace shale::build {

struct BaseImage;  // stage.hpp

// What a step leaves to the instructions after it.
struct StepResult {
    std::shared_ptr<Root> root;
    std::shared_ptr<LayerSlot> layer;
};

// One build, whatever the number of its platforms. They share what is the same for them: an image
// is resolved once, a step with one definition key is made once.
struct Shared {
    Shared(const Request& request, Services& services, CacheImports& imported,
           BuildRecorder& build_recorder)
        : recorder(build_recorder), misses(services.store, build_recorder),
          jobs(request.jobs, request.memory_budget), live_roots(services.store, services.mounter),
          cache_mounts(services.store), ssh_agents(request.ssh), imports(imported) {}

    BuildRecorder& recorder;
    MissExplainer misses;
    std::atomic<std::uint32_t> verified{0}, differing{0};  // hits that were executed again
    Jobs jobs;  // of steps, not of stages: a stage waiting for another has none
    LiveRoots live_roots;
    std::atomic<std::uint32_t> steps{0}, cached_steps{0};
    const std::int64_t started_ns = system_clock().now_ns();
    std::once_flag told_of_network{};  // once a build, not once a RUN
    LintLog lint;
    CacheMounts cache_mounts;
    SshAgents ssh_agents;
    CacheImports& imports;
    OnceTable<std::shared_ptr<BaseImage>> images;
    OnceTable<StepResult> results;  // by definition key
    OnceTable<StepResult> shown;    // also by name: one vertex each
};

// The evaluation of the Dockerfile for one platform.
struct Session {
    const Request& request;
    Services& services;
    Tracker& tracker;
    const dockerfile::File& file;
    const std::string& definition_path;  // empty if the text came from standard input
    const Arguments& arguments;
    Context& context;
    Sources& sources;
    oci::Platform platform;  // what is built for
    std::stop_token stop;
    Shared& shared;
    bool platform_was_asked_for = false;  // else it is this machine's, and a base image may differ
    bool shows_platform = false;          // in the titles of steps
    StepLog steps{};
    Facts facts{};

    // The time of directories that the build makes: SOURCE_DATE_EPOCH, or now.
    std::int64_t creation_ns() const {
        return request.source_date_epoch ? *request.source_date_epoch * kNsPerSecond
                                         : services.clock.now_ns();
    }

    // Among the facts, that something of the context was looked at.
    void note(const Context& used, const std::string& name) {
        const auto& source = used.source();
        if (source.material)
            facts.add(*source.material, source.root->key());
        else if (!source.root)
            facts.add_local(name);
    }

    NamedContexts contexts() const { return {request.build_contexts, platform}; }

    // Throws Cancelled once the build has been stopped.
    void check_stop() const { build::check_stop(stop); }
};

}  // namespace shale::build
