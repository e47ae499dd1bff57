// shale build: a Dockerfile and a context to an image, with the flags of docker buildx build.
//
// build_request.hpp turns the flags into a request; here is what surrounds the build itself: the
// display, the explanation of a failure, and the files that tell scripts what came out.
#include "build_request.hpp"
#include "build_summary.hpp"
#include "command.hpp"
#include "console.hpp"
#include "disk_ceiling.hpp"
#include "image_lookup.hpp"
#include "interrupts.hpp"
#include "json_text.hpp"
#include "progress.hpp"
#include "terminal_text.hpp"
#include "tree_server.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/build.hpp>
#include <shale/build_record.hpp>
#include <shale/sandbox.hpp>

#include <CLI/App.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

void to_stderr(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
}

// The block people look for at the end of a failed build: the step's last output, the lines of the
// Dockerfile, the reason.
void explain(const build::BuildError& error) {
    if (!error.step.empty()) {
        to_stderr("------\n > " + printable(error.step) + ":\n");
        for (const auto& line : error.log)
            to_stderr(printable(line) + "\n");
        to_stderr("------\n");
    }
    std::string_view excerpt = error.excerpt;
    while (!excerpt.empty()) {
        const auto end = excerpt.find('\n');
        to_stderr(printable(excerpt.substr(0, end)) + "\n");
        excerpt.remove_prefix(end == std::string_view::npos ? excerpt.size() : end + 1);
    }
    to_stderr("ERROR: failed to solve: " + printable_message(error.what()) + "\n");
}

// "2026-11-26T22:38:30Z".
std::string timestamp(std::int64_t ns) {
    const std::time_t seconds = ns / kNsPerSecond;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

// The keys of buildx, as far as they have a meaning here.
void write_metadata(const std::string& path, const build::Result& result) {
    nlohmann::ordered_json json;
    if (!result.image_id.is_zero() && !result.is_index)
        json["containerimage.config.digest"] = result.image_id.str();
    if (!result.manifest.digest.is_zero()) {
        auto& descriptor = json["containerimage.descriptor"];
        descriptor = {{"mediaType", result.manifest.media_type},
                      {"digest", result.manifest.digest.str()},
                      {"size", result.manifest.size}};
        auto annotations = result.manifest.annotations;
        if (result.created_ns)
            annotations["org.opencontainers.image.created"] = timestamp(*result.created_ns);
        descriptor["annotations"] = annotations;
        if (const auto& platform = result.manifest.platform) {
            descriptor["platform"] = {{"architecture", platform->architecture},
                                      {"os", platform->os}};
            if (!platform->variant.empty()) descriptor["platform"]["variant"] = platform->variant;
        }
        json["containerimage.digest"] = result.manifest.digest.str();
    }
    std::string names;
    for (const auto& name : result.names)
        names += (names.empty() ? "" : ",") + name;
    if (!names.empty()) json["image.name"] = names;
    json["shale.steps"] = result.steps;
    json["shale.steps.cached"] = result.cached_steps;
    write_output_file(path, as_bytes(json_text(json)));
}

// The ID of an earlier build must not be taken for that of one that failed. Only a file of ours is
// removed: a device or a pipe holds nothing old.
void forget_image_id(const std::string& path) {
    struct stat status {};
    if (path.empty() || ::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    if (::unlink(path.c_str()) != 0) throw_errno("remove", path);
}

// The compressed layers of the result, if it is one image of the store.
std::optional<std::uint64_t> bytes_of(store::Store& store, const build::Result& result) {
    if (result.is_index || result.manifest.digest.is_zero() ||
        !store.has_blob(result.manifest.digest))
        return std::nullopt;
    return compressed_bytes(store.manifest(result.manifest));
}

void summarise(const BuildFlags& flags, const build::Request& request, const build::Result& result,
               const build::BuildRecord& record, store::Store& store) {
    std::string text = fmt::format("{} of {} steps cached", result.cached_steps, result.steps);
    if (!flags.no_summary) text += " " + build_times(record);
    if (!result.image_id.is_zero()) text += "; image " + result.image_id.short_hex();
    for (const auto& tag : request.tags)
        text += ", " + tag.familiar();
    print_note(text);
    if (!flags.no_summary)
        for (const auto& line : build_summary(record, bytes_of(store, result)))
            print_note(line);
    if (result.warnings > 0)
        print_note(fmt::format("{} {} found; `shale build --check` shows where", result.warnings,
                               result.warnings == 1 ? "warning" : "warnings"));
}

// Before a build, so that nobody learns of it at the end. A device or a pipe is written to where it
// is, a file is replaced where links lead.
void check_place(const char* flag, std::string path) {
    struct stat status {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode))
        fail(ErrorKind::Invalid, std::string(flag) + ": " + path + " is a directory");
    if ((exists && !S_ISREG(status.st_mode)) || path.starts_with("/dev/") ||
        path.starts_with("/proc/"))
        return;
    char resolved[PATH_MAX];
    if (exists && ::realpath(path.c_str(), resolved)) path = resolved;
    const auto slash = path.rfind('/');
    const auto folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (::access(folder.c_str(), W_OK) != 0) throw_errno(std::string(flag) + ": write in", folder);
}

bool left_files(const build::BuildRecord& record) {
    return std::ranges::any_of(record.steps, [](const build::RecordedStep& step) {
        return step.state == build::RecordedStep::State::Failed && !step.tree.is_zero();
    });
}

// After a step has failed: its files, to look at. The build has failed whatever is done there.
int after_failure(const BuildFlags& flags, bool quiet, const build::BuildRecord& record,
                  Workspace& workspace) {
    if (!left_files(record)) return kFailure;
    const bool wanted = flags.on_error == "shell";
    if (!wanted || !is_terminal(STDIN_FILENO) || !is_terminal(STDOUT_FILENO)) {
        if (wanted) print_note("--on-error=shell needs a terminal");
        if (!quiet && !flags.no_summary)
            print_note("`shale shell --failed` shows what the step left");
        return kFailure;
    }
    CLI::App app;
    const auto shell = shell_command().declare(app);
    app.parse(std::vector<std::string>{"--failed"});
    shell(workspace);
    return kFailure;
}

ProgressMode progress_mode(const BuildFlags& flags) {
    const auto asked_for = parse_progress(flags.progress);
    if (flags.quiet && !flags.progress.empty() && asked_for != ProgressMode::Quiet)
        fail(ErrorKind::Invalid,
             "progress=" + flags.progress + " and quiet cannot be used together");
    if (flags.quiet) return ProgressMode::Quiet;
    const char* value = std::getenv("BUILDKIT_PROGRESS");  // as docker
    return flags.progress.empty() && value ? parse_progress(value) : asked_for;
}

// Everything that is written at the end, so that nobody waits for a build to learn of a mistake.
void check_places(const BuildFlags& flags, const build::Request& request) {
    for (const auto& [flag, path] :
         {std::pair{"--trace", &flags.trace}, std::pair{"--iidfile", &flags.iidfile},
          std::pair{"--metadata-file", &flags.metadata_file}})
        if (!path->empty()) check_place(flag, *path);
    for (const auto& [name, source] : request.build_contexts) {
        // A path by exclusion: whatever else it may be has one of these in it.
        if (source.find_first_of("@:") != std::string::npos || path_exists(source)) continue;
        if (source.find('/') == std::string::npos || source.front() == '.' || source.front() == '/')
            throw_errno(ENOENT, "--build-context: failed to get build context " + name, source);
    }
    for (const auto& output : request.outputs) {
        const auto& path = output.destination;
        struct stat status {};
        if (path.empty() || path == "-" || output.type == build::OutputType::Image ||
            output.type == build::OutputType::CacheOnly)
            continue;
        const bool is_tree = output.type == build::OutputType::Local || output.as_directory;
        if (!is_tree)
            check_place("--output", path);
        else if (::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
            fail(ErrorKind::Invalid, "--output: " + path + " is not a directory");
    }
}

int run(const BuildFlags& flags, Workspace& workspace) {
    if (is_call(flags.call)) return run_call(flags.call, build_request(flags), workspace);
    workspace.enter_namespaces();
    const auto mode = progress_mode(flags);
    const bool quiet = mode == ProgressMode::Quiet;
    auto request = build_request(flags);
    check_ceiling(flags.max_disk);
    check_places(flags, request);
    forget_image_id(flags.iidfile);
    for (const auto& [given, name] : {std::pair{flags.rm, "--rm"},
                                      {flags.force_rm, "--force-rm"},
                                      {flags.compress, "--compress"}})
        if (given) print_note(fmt::format("warning: {} has no effect", name));

    const auto display = make_display(mode, "Building");
    FuseMounter mounter;
    build::Services services{
        workspace.store(), workspace.images(),
        mounter,           [&]() -> sandbox::Runtime& { return workspace.runtime(); },
        *display,          [] { return http::curl_transport(); }};
    build::BuildRecord record;
    services.on_record = [&](const build::BuildRecord& made) { record = made; };
    // Of a build that failed, too; that it failed matters more than that nobody takes the trace.
    const auto trace_failure = [&] {
        if (flags.trace.empty() || record.id.empty()) return;  // it never began
        try {
            write_output_file(flags.trace, as_bytes(build_trace(record)));
        } catch (const Error& error) {
            print_error(std::string("--trace: ") + error.what());
        }
    };
    const auto stop = workspace.stop();
    build::Result result;
    try {
        result = build::build(request, services, stop);
        display->close();
    } catch (const build::BuildError& error) {
        display->close();
        trace_failure();
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "build cancelled");
        explain(error);
        if (mode == ProgressMode::RawJson) return kFailure;
        return after_failure(flags, quiet, record, workspace);
    } catch (const Error& error) {
        display->close();
        trace_failure();
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "build cancelled");
        to_stderr("ERROR: failed to solve: " + printable_message(error.what()) + "\n");
        return kFailure;
    }
    if (!flags.trace.empty()) write_output_file(flags.trace, as_bytes(build_trace(record)));
    if (!flags.iidfile.empty()) write_output_file(flags.iidfile, as_bytes(result.image_id.str()));
    if (!flags.metadata_file.empty()) write_metadata(flags.metadata_file, result);
    if (quiet) {
        const bool is_taken = std::ranges::count(request.outputs, "-", &build::Output::destination);
        if (!is_taken && !result.image_id.is_zero()) print_result(result.image_id.str() + "\n");
    } else if (mode != ProgressMode::RawJson) {  // whose readers expect nothing but JSON lines
        summarise(flags, request, result, record, workspace.store());
    }
    keep_below_ceiling(workspace.store(), flags.max_disk);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<BuildFlags>();
    declare_build_flags(app, *flags);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& build_command() {
    static const Command command = {
        .name = "build",
        .group = "Build",
        .summary = "Build an image from a Dockerfile",
        .usage = "[OPTIONS] CONTEXT",
        .details =
            "Runs the stages that the target needs, in parallel where they do not depend on "
            "each other. A step is taken from the cache if it would do the same to the same "
            "bytes; --progress plain shows which were.\n\n"
            "Flags mean what they mean to docker buildx build. An instruction or flag that is "
            "not implemented is an error that names it.\n\n"
            "Whoever is not root runs commands in a user namespace, as the IDs that /etc/subuid "
            "and /etc/subgid lend him. The image is the same.",
        .examples = {{"shale build -t app:prod .", "Build the last stage and name it"},
                     {"shale build --target builder -t app:builder .", "Only up to a stage"},
                     {"shale build -o type=docker,dest=app.tar -t app . && docker load -i app.tar",
                      "Hand the image to docker"},
                     {"shale build --check .", "Only look for mistakes and bad habits"},
                     {"shale build --call outline .", "The arguments and secrets it takes"},
                     {"shale build -o out .", "Write the root file system to a directory"},
                     {"shale build https://git.example/app.git#v1.2:docker",
                      "Build a directory of a tag of a git repository"},
                     {"git archive HEAD | shale build -t app -", "Build what was committed"},
                     {"shale build --build-context base=../base .",
                      "Use the files of another directory wherever the Dockerfile says base"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
