// The public face: probe once, run many.
#include "container.hpp"
#include "probe.hpp"

#include <shale/sandbox.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace shale::sandbox {

namespace {

constexpr const char* kFindingsFile = "runtime.json";
// How long a network that failed is believed to be broken: a module may be loaded, a device given.
constexpr std::int64_t kBrokenNs = 60 * kNsPerSecond;

bool is_stale(const std::string& findings) {
    struct stat info {};
    if (::stat(findings.c_str(), &info) != 0) return true;
    const auto age_ns = system_clock().now_ns() - to_ns(info.st_mtim);
    return age_ns > kBrokenNs || age_ns < 0;
}

}  // namespace

struct Runtime::State {
    State(std::string directory, Findings what)
        : state_directory(std::move(directory)), findings(std::move(what)),
          networks(findings.slirp_program) {}
    const std::string state_directory;
    const Findings findings;
    NetworkPool networks;
};

Runtime::Runtime(std::unique_ptr<State> state) : state_(std::move(state)) {}
Runtime::Runtime(Runtime&&) noexcept = default;
Runtime::~Runtime() = default;

const std::string& Runtime::name() const {
    return state_->findings.engine.version;
}
const std::string& Runtime::explanation() const {
    return state_->findings.explanation;
}
const std::string& Runtime::network_note() const {
    return state_->findings.network_note;
}

Runtime Runtime::probe(const std::string& state_directory) {
    if (::geteuid() != 0) fail(ErrorKind::Unsupported, "running commands in containers needs root");
    const std::string directory = std::filesystem::absolute(state_directory);
    make_directories(directory, 0700);
    sweep_dead_runs(directory);

    const std::string cache = join_path(directory, kFindingsFile);
    const std::string fingerprint = host_fingerprint();
    const auto keep = [&](const Findings& findings) {
        write_file_atomic(cache, as_bytes(encode_findings(findings, fingerprint)), 0600);
    };
    if (path_exists(cache))
        if (auto known = decode_findings(read_file(cache), fingerprint)) {
            if (known->slirp_program.empty() && is_stale(cache)) {
                probe_network(*known);
                try {
                    keep(*known);
                } catch (const Error& error) {  // they are of use as they are
                    log(LogLevel::Debug, error.what());
                }
            }
            return Runtime(std::make_unique<State>(directory, std::move(*known)));
        }
    Findings findings = probe_host(directory, system_command_runner());
    keep(findings);
    return Runtime(std::make_unique<State>(directory, std::move(findings)));
}

Result Runtime::run(const Spec& spec, const OnOutput& output, std::stop_token stop) {
    const Host host{state_->state_directory, &state_->networks, &system_command_runner()};
    return run_container(state_->findings.engine, host, spec, output, std::move(stop));
}

const std::vector<std::string>& mount_points() {
    static const std::vector<std::string> points = {"dev/",  "etc/", "etc/hosts", "etc/resolv.conf",
                                                    "proc/", "sys/"};
    return points;
}

}  // namespace shale::sandbox
