// build(): reads the Dockerfile, plans, lets the stages run, exports. Each line of build() below is
// a phase; the phases live in the files named after them.
#include "entitlements.hpp"
#include "epoch.hpp"
#include "export.hpp"
#include "lint_report.hpp"
#include "open_context.hpp"
#include "plan.hpp"
#include "run.hpp"
#include "session.hpp"
#include "stage.hpp"

#include <shale/build.hpp>

#include <algorithm>

namespace shale::build {
namespace {

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
    for (const auto& output : request.outputs)
        for (const auto& name : output.names)
            oci::Reference::parse(name);
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
        report(parsed, tracker.progress());
        return Outcome::Done;
    });
    return parsed;
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

Result build(const Request& asked, Services& services, std::stop_token stop) {
    check_request(asked);
    Tracker tracker(services.progress);
    std::stop_source failure;
    const std::stop_callback forward(stop, [&] { failure.request_stop(); });
    Sources sources(asked, services, tracker, failure.get_token());
    const auto main = open_main_context(asked, services, sources, tracker);
    const auto& definition = main.definition;
    auto& context = *main.context;
    const auto parsed = load_file(asked, definition, tracker);
    const auto& file = parsed.file;

    const auto target = find_target(file, asked.target);
    const auto platform = asked.platform.value_or(oci::Platform::host());
    const auto request = settle_epoch(asked, file, context, sources, platform);
    const Arguments arguments(request, file, oci::Platform::host(), platform,
                              file.stages[target].from.stage_name);
    const auto reached =
        reached_stages(file, target, arguments, {request.build_contexts, platform});
    for (const auto index : reached)
        context.need(needed_paths(file.stages[index]));

    std::counting_semaphore<256> slots(std::clamp(request.parallel_steps, 1u, 256u));
    Session session{request,   services, tracker, file,     definition.path,
                    arguments, context,  sources, platform, failure.get_token(),
                    slots};
    session.lint.add(parsed.diagnostics);
    Stages stages(session, failure);
    for (const auto index : reached)
        stages.start(index);
    try {
        const auto& state = stages.get(target);
        fail_on_findings(file, session.lint);
        auto result = export_outputs(session, state, stage_label(file.stages[target]));
        result.steps = session.steps;
        result.cached_steps = session.cached_steps;
        result.warnings = static_cast<std::uint32_t>(session.lint.all().size());
        return result;
    } catch (const Error& error) {
        failure.request_stop();
        if (error.kind() == ErrorKind::Cancelled && !stop.stop_requested())
            rethrow_cause(stages, reached);
        throw;
    }
}

}  // namespace shale::build
