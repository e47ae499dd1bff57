// Executes one RUN: the parent tree, mounted lazily, below a fresh overlay upper directory; the
// command in the sandbox; the upper merged into a new tree and written as a layer.
#pragma once

#include "device_request.hpp"
#include "run_mount.hpp"
#include "step.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

struct RunSpec {
    std::string title;  // of the step, for people
    std::vector<std::string> argv;
    std::vector<std::string> env;   // what cache keys see
    std::vector<KeyValue> proxies;  // added to env, seen by no key
    std::string cwd;
    std::string user;
    oci::Platform platform;
    sandbox::Network network = sandbox::Network::Private;
    std::string hostname = "buildkitsandbox";  // what Dockerfiles may have come to rely on
    bool insecure = false;
    std::vector<RunMount> mounts;  // in the order in which they are made
    bool renew_caches = false;     // --no-cache: cache mounts begin empty; seen by no key
    std::optional<std::uint64_t> shm_bytes;
    std::vector<sandbox::ProcessLimit> limits;
    std::string cgroup_parent;
    std::vector<DeviceRequest> devices;
    // Here-documents with an interpreter line, shown as executables below /dev/pipes.
    struct Script {
        std::string name, text;
    };
    std::vector<Script> scripts;
};

// One --add-host, "name:ip" or "name=ip"; Invalid, naming it, otherwise.
struct ExtraHost {
    std::string name, address;
};
ExtraHost parse_extra_host(const std::string& entry);

// `by_content`: binds are named by the bytes they show, not by what made them. `digest` names the
// root in the same way.
struct RunParent {
    bool by_content = false;
    Digest digest;
};
Digest run_key(const RunSpec& spec, const std::vector<std::string>& add_hosts, Context& context,
               const RunParent& parent, RecordedInputs* inputs = nullptr);

class RunCaches;

// `caches` are those of the spec; they are let go when the command has ended.
//
// Failed if the command fails: `process "/bin/sh -c x" did not complete successfully: exit code:
// 1`. `log_tail` receives the last lines of output in any case.
Executed execute_run(Session& session, const RunSpec& spec, const LoadedRoot& parent,
                     std::unique_ptr<RunCaches> caches, VertexId vertex,
                     std::deque<std::string>& log_tail);

}  // namespace shale::build
