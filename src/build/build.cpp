// build(): reads the Dockerfile, plans, lets the stages run, exports. Each line of build() below is
// a phase; the phases live in the files named after them.
#include "annotations.hpp"
#include "cache_export.hpp"
#include "cache_import.hpp"
#include "entitlements.hpp"
#include "epoch.hpp"
#include "export.hpp"
#include "lint_report.hpp"
#include "open_context.hpp"
#include "plan.hpp"
#include "recorder.hpp"
#include "run.hpp"
#include "session.hpp"
#include "stage.hpp"

#include <shale/build.hpp>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>

namespace shale::build {
namespace {

std::string real_path(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) throw_errno("realpath", path);
    return resolved;
}

// The platforms of a request, each once, in order.
std::vector<oci::Platform> target_platforms(const Request& request) {
    std::vector<oci::Platform> platforms;
    for (const auto& platform : request.platforms)
        if (const auto normal = platform.normalized();
            std::find(platforms.begin(), platforms.end(), normal) == platforms.end())
            platforms.push_back(normal);
    if (platforms.empty()) platforms.push_back(oci::Platform::host());
    return platforms;
}

std::optional<std::string> build_argument(const Request& request, std::string_view name) {
    std::optional<std::string> value;
    for (const auto& pair : request.build_args)
        if (pair.key == name) value = pair.value;
    return value;
}

// Several platforms make an index; one does if that is asked for.
bool makes_index(const Request& request) {
    const bool several = target_platforms(request).size() > 1;
    const auto wish = build_argument(request, "BUILDKIT_MULTI_PLATFORM");
    if (!wish || wish->empty()) return several;
    const bool yes = *wish == "1" || *wish == "true";
    if (!yes && *wish != "0" && *wish != "false")
        fail(ErrorKind::Invalid, "invalid boolean value for multi-platform: " + *wish);
    if (!yes && several)
        fail(ErrorKind::Invalid,
             "conflicting config: returning multiple target platforms is not allowed");
    return yes;
}

// What is deleted was not made by this build: below the working directory it is taken for granted.
void check_deletion(const Request& request, const Output& output) {
    const auto here = real_path(".");
    const auto place = path_exists(output.destination)
                           ? real_path(output.destination)
                           : clean_absolute_path(join_path(here, output.destination));
    if (place.starts_with(here == "/" ? here : here + "/")) return;
    in_context([&] { return "--output: mode=delete of " + place; },
               [&] { require_entitlement(request.allow, "buildx.local.delete"); });
}

// What can be wrong with a request before anything is read. Found here, it is found also when every
// step is cached.
void check_request(const Request& request) {
    sandbox::parse_network(request.network);
    for (const auto& entry : request.add_hosts)
        parse_extra_host(entry);
    check_named_contexts(request.build_contexts);
    for (const auto& entitlement : request.allow)
        check_entitlement(entitlement);
    for (const auto& limit : request.limits)
        sandbox::check_limit(limit);
    const bool as_index = makes_index(request);
    const std::vector<Output> one_image(1);
    for (const auto& output : request.outputs.empty() ? one_image : request.outputs) {
        for (const auto& name : output.names)
            oci::Reference::parse(name);
        check_annotations(request, output, as_index || request.attestations.any());
        if (output.delete_stale) check_deletion(request, output);
    }
}

// Warnings go to the progress; errors end the build, all of them shown.
void report(const dockerfile::ParseResult& parsed, Progress& progress) {
    std::string first, excerpts;
    for (const auto& diagnostic : parsed.diagnostics) {
        if (diagnostic.severity == dockerfile::Severity::Warning) {
            progress.warning(finding_line(diagnostic));
            continue;
        }
        const auto message = dockerfile::message(diagnostic);
        if (!excerpts.empty()) excerpts += message + "\n";
        excerpts += dockerfile::excerpt(parsed.file, diagnostic.lines, diagnostic.place);
        if (first.empty()) first = message;
    }
    if (!first.empty()) throw BuildError(Error(ErrorKind::Invalid, first), {}, {}, excerpts);
}

dockerfile::ParseResult load_file(const Request& request, const Definition& definition,
                                  Tracker& tracker) {
    dockerfile::ParseResult parsed;
    tracker.run("[internal] load build definition from " + definition.name, [&](VertexId) {
        parsed = dockerfile::parse(definition.text, definition.name, check_option(request));
        warn_about_syntax(parsed.file, request, tracker.progress());
        warn_about_names(parsed.file, request, tracker.progress());
        report(parsed, tracker.progress());
        return Outcome::Done;
    });
    return parsed;
}

// The evaluation for one platform: its arguments, the stages they lead to, and their results.
struct Evaluation {
    Evaluation(const Request& request, Services& services, Tracker& tracker,
               const dockerfile::File& file, const std::string& definition_path,
               std::uint32_t target, Context& context, Sources& sources,
               const oci::Platform& platform, std::stop_source& failure, Shared& shared)
        : arguments(request, file, oci::Platform::host(), platform,
                    file.stages[target].from.stage_name),
          reached(reached_stages(file, target, arguments, {request.build_contexts, platform})),
          session{request,
                  services,
                  tracker,
                  file,
                  definition_path,
                  arguments,
                  context,
                  sources,
                  platform,
                  failure.get_token(),
                  shared,
                  !request.platforms.empty(),
                  makes_index(request)},
          stages(session, failure) {
        for (const auto index : reached)
            context.need(needed_paths(file.stages[index]));
    }
    void start() {
        for (const auto index : reached)
            stages.start(index);
    }

    Arguments arguments;
    std::vector<std::uint32_t> reached;
    Session session;
    Stages stages;
};
using Evaluations = std::vector<std::unique_ptr<Evaluation>>;

// A stage that stopped because another failed says only "cancelled"; the one that failed says why.
[[noreturn]] void rethrow_cause(const Evaluations& evaluations) {
    std::exception_ptr cause;
    for (const auto& evaluation : evaluations)
        for (const auto index : evaluation->reached)
            try {
                evaluation->stages.get(index);
            } catch (const Error& error) {
                if (error.kind() != ErrorKind::Cancelled) throw;
                cause = std::current_exception();
            }
    SHALE_ENSURE(cause);
    std::rethrow_exception(cause);
}

// What one attempt at a build starts from.
struct Task {
    const Request& request;
    Services& services;
    Tracker& tracker;
    const MainContext& main;
    const dockerfile::ParseResult& parsed;
    Sources& sources;
    CacheImports& imports;
    BuildRecorder& recorder;
    std::stop_token stop;
};

Result attempt(const Task& task, std::stop_source& failure) {
    const auto& request = task.request;
    const auto& file = task.parsed.file;
    const auto target = find_target(file, request.target);
    Shared shared(request, task.services, task.imports, task.recorder);
    shared.lint.add(task.parsed.diagnostics);
    Evaluations evaluations;
    for (const auto& platform : target_platforms(request))
        evaluations.push_back(std::make_unique<Evaluation>(
            request, task.services, task.tracker, file, task.main.definition.path, target,
            *task.main.context, task.sources, platform, failure, shared));
    for (const auto& evaluation : evaluations) {
        // The Dockerfile is from there, whatever else is.
        if (task.main.context->source().material)
            evaluation->session.note(*task.main.context, "context");
        evaluation->start();
    }
    try {
        std::vector<Built> builds;
        for (const auto& evaluation : evaluations)
            builds.push_back({evaluation->session, evaluation->stages.get(target),
                              evaluation->stages, evaluation->reached, target});
        scan_results(builds);
        fail_on_findings(file, shared.lint);
        if (shared.differing > 0)
            fail(ErrorKind::Failed, "cache verification: of " + std::to_string(shared.verified) +
                                        " steps " + std::to_string(shared.differing) +
                                        " came out different from the cache");
        shared.live_roots.clear();  // what RUNs left is on disk twice until then
        auto result =
            export_outputs(builds, stage_label(file.stages[target]), makes_index(request));
        export_caches(builds);
        result.steps = shared.steps;
        result.cached_steps = shared.cached_steps;
        result.warnings = static_cast<std::uint32_t>(shared.lint.all().size());
        return result;
    } catch (const Error& error) {
        failure.request_stop();
        if (error.kind() == ErrorKind::Cancelled && !task.stop.stop_requested())
            rethrow_cause(evaluations);
        throw;
    }
}

}  // namespace

Result build(const Request& asked, Services& services, std::stop_token stop) {
    check_request(asked);
    BuildRecorder recorder(services.progress, services.clock);
    Tracker tracker(recorder);
    std::stop_source failure;
    std::optional<std::stop_callback<std::function<void()>>> forward;
    forward.emplace(stop, [failure]() mutable { failure.request_stop(); });
    // What was cancelled with the first attempt would stay so for a second.
    const bool may_begin_again = !asked.cache_from.empty();
    Sources sources(asked, services, tracker, may_begin_again ? stop : failure.get_token());
    const auto main = open_main_context(asked, services, sources, tracker);
    const auto& definition = main.definition;
    recorder.begin(asked, definition.path.empty() ? definition.name : definition.path);
    const auto attempts = [&] {
        const auto parsed = load_file(asked, definition, tracker);
        find_target(parsed.file, asked.target);
        const auto request = settle_epoch(asked, parsed.file, *main.context, sources,
                                          target_platforms(asked).front());
        CacheImports imports(request, services, tracker);
        const Task task{request, services, tracker, main, parsed, sources, imports, recorder, stop};
        for (;;) {
            try {
                auto result = attempt(task, failure);
                imports.settle();  // says of which caches it could do without
                return result;
            } catch (const Error&) {
                if (stop.stop_requested() || !imports.settle()) throw;
                recorder.begin_again();
                failure = std::stop_source();
                forward.emplace(stop, [failure]() mutable { failure.request_stop(); });
            }
        }
    };
    // Whatever comes of it; the contexts, whose trees are kept with the record, are still there.
    const auto record = [&](BuildRecord::Outcome outcome, const std::string& error,
                            const Result* result) {
        const auto finished = recorder.finish(outcome, error, result);
        remember(services.store, finished);
        if (services.on_record) services.on_record(finished.record);
    };
    try {
        auto result = attempts();
        record(BuildRecord::Outcome::Completed, {}, &result);
        return result;
    } catch (const Error& error) {
        record(error.kind() == ErrorKind::Cancelled ? BuildRecord::Outcome::Cancelled
                                                    : BuildRecord::Outcome::Failed,
               error.what(), nullptr);
        throw;
    }
}

}  // namespace shale::build
