// build(): reads the Dockerfile, plans, lets the stages run, exports. Each line of build() below is
// a phase; the phases live in the files named after them.
#include "entitlements.hpp"
#include "export.hpp"
#include "plan.hpp"
#include "run.hpp"
#include "session.hpp"
#include "stage.hpp"

#include <shale/build.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <iostream>
#include <iterator>

namespace shale::build {
namespace {

std::string real_path(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) throw_errno("realpath", path);
    return resolved;
}

std::string context_directory(const std::string& path) {
    struct stat status {};
    if (path.empty() || ::stat(path.c_str(), &status) != 0)
        fail(ErrorKind::NotFound, "unable to prepare context: path \"" + path + "\" not found");
    if (!S_ISDIR(status.st_mode))
        fail(ErrorKind::Invalid, "unable to prepare context: \"" + path + "\" is not a directory");
    return real_path(path);
}

struct Definition {
    std::string path;  // empty if the text came from standard input
    std::string name;  // for messages
    std::string text;
};

Definition read_definition(const Request& request, const std::string& context) {
    if (request.dockerfile_text)
        return {request.dockerfile == "-" ? "" : request.dockerfile, "Dockerfile",
                *request.dockerfile_text};
    if (request.dockerfile == "-")
        return {"", "Dockerfile",
                std::string(std::istreambuf_iterator<char>(std::cin),
                            std::istreambuf_iterator<char>())};
    std::string path = request.dockerfile;
    if (path.empty()) {
        path = join_path(context, "Dockerfile");
        const auto lower = join_path(context, "dockerfile");
        if (!path_exists(path) && path_exists(lower)) path = lower;
    }
    constexpr std::uint64_t kMaxDockerfileBytes = 16u << 20;
    const auto name = path.substr(path.rfind('/') + 1);
    try {
        return {path, name, read_file(path, kMaxDockerfileBytes)};
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::NotFound) throw;
        fail(ErrorKind::NotFound, "failed to read dockerfile: open " +
                                      (request.dockerfile.empty() ? name : path) +
                                      ": no such file or directory");
    }
}

// What can be wrong with a request before anything is read. Found here, it is found also when every
// step is cached.
void check_request(const Request& request) {
    sandbox::parse_network(request.network);
    for (const auto& entry : request.add_hosts)
        parse_extra_host(entry);
    for (const auto& entitlement : request.allow)
        check_entitlement(entitlement);
    for (const auto& limit : request.limits)
        sandbox::check_limit(limit);
    for (const auto& output : request.outputs)
        for (const auto& name : output.names)
            oci::Reference::parse(name);
    // Nanoseconds of it must fit; this is the year 2262.
    constexpr std::int64_t kLatest = INT64_MAX / 1'000'000'000;
    if (request.source_date_epoch && *request.source_date_epoch > kLatest)
        fail(ErrorKind::Invalid, "invalid SOURCE_DATE_EPOCH: " +
                                     std::to_string(*request.source_date_epoch) + " is too late");
}

// Warnings go to the progress; errors end the build, all of them shown.
void report(const dockerfile::ParseResult& parsed, Progress& progress) {
    std::string first, excerpts;
    for (const auto& diagnostic : parsed.diagnostics) {
        const auto message = dockerfile::message(diagnostic);
        if (diagnostic.severity == dockerfile::Severity::Warning) {
            progress.warning(diagnostic.rule.empty() ? message : diagnostic.rule + ": " + message);
            continue;
        }
        if (!excerpts.empty()) excerpts += message + "\n";
        excerpts += dockerfile::excerpt(parsed.file, diagnostic.lines);
        if (first.empty()) first = message;
    }
    if (!first.empty()) throw BuildError(Error(ErrorKind::Invalid, first), {}, {}, excerpts);
}

dockerfile::File load_file(const Definition& definition, Tracker& tracker) {
    dockerfile::File file;
    tracker.run("[internal] load build definition from " + definition.name, [&](VertexId) {
        auto parsed = dockerfile::parse(definition.text, definition.name);
        report(parsed, tracker.progress());
        file = std::move(parsed.file);
        return Outcome::Done;
    });
    return file;
}

// A stage that stopped because another failed says only "cancelled"; the one that failed says why.
[[noreturn]] void rethrow_cause(Stages& stages, const std::vector<std::uint32_t>& reached) {
    std::exception_ptr cause;
    for (const auto index : reached)
        try {
            stages.get(index);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::Cancelled) throw;
            cause = std::current_exception();
        }
    SHALE_ENSURE(cause);
    std::rethrow_exception(cause);
}

}  // namespace

Result build(const Request& request, Services& services, std::stop_token stop) {
    check_request(request);
    Tracker tracker(services.progress);
    const auto directory = context_directory(request.context);
    const auto definition = read_definition(request, directory);
    const auto file = load_file(definition, tracker);

    const auto target = find_target(file, request.target);
    const auto platform = request.platform.value_or(oci::Platform::host());
    const Arguments arguments(request, file, oci::Platform::host(), platform,
                              file.stages[target].from.stage_name);
    const auto reached = reached_stages(file, target, arguments);

    dockerfile::IgnoreMatcher ignore;
    tracker.run("[internal] load .dockerignore", [&](VertexId) {
        ignore = Context::load_ignore(directory, definition.path);
        return Outcome::Done;
    });
    Context context(directory, std::move(ignore), services.store, tracker);
    for (const auto index : reached)
        context.need(needed_paths(file.stages[index]));

    std::stop_source failure;
    const std::stop_callback forward(stop, [&] { failure.request_stop(); });
    std::counting_semaphore<256> slots(std::clamp(request.parallel_steps, 1u, 256u));
    Session session{request, services,        tracker,
                    file,    definition.path, arguments,
                    context, platform,        failure.get_token(),
                    slots};
    Stages stages(session, failure);
    for (const auto index : reached)
        stages.start(index);
    try {
        const auto& state = stages.get(target);
        auto result = export_outputs(session, state, stage_label(file.stages[target]));
        result.steps = session.steps;
        result.cached_steps = session.cached_steps;
        return result;
    } catch (const Error& error) {
        failure.request_stop();
        if (error.kind() == ErrorKind::Cancelled && !stop.stop_requested())
            rethrow_cause(stages, reached);
        throw;
    }
}

}  // namespace shale::build
