#include "build_request.hpp"

#include "console.hpp"
#include "layer_output.hpp"
#include "progress.hpp"

#include <shale/base.hpp>
#include <shale/registry.hpp>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <thread>

namespace shale::cli {

namespace {

build::KeyValue split_pair(const std::string& text, const std::string& flag) {
    const auto equals = text.find('=');
    if (equals == 0 || text.empty())
        fail(ErrorKind::Invalid, flag + ": \"" + text + "\" has no name");
    if (equals == std::string::npos) return {text, ""};
    return {text.substr(0, equals), text.substr(equals + 1)};
}

// `K=V`, or `K` for the value of the environment; an unset one is left out, as docker does.
std::vector<build::KeyValue> build_arguments(const std::vector<std::string>& words) {
    std::vector<build::KeyValue> pairs;
    for (const auto& word : words) {
        auto pair = split_pair(word, "--build-arg");
        if (word.find('=') == std::string::npos) {
            const char* value = std::getenv(word.c_str());
            if (!value) continue;
            pair.value = value;
        }
        pairs.push_back(std::move(pair));
    }
    return pairs;
}

// As docker does it: whoever is behind a proxy has said so once. What is given for this build wins,
// in either spelling.
std::vector<build::KeyValue> proxies_for(const std::vector<build::KeyValue>& arguments) {
    std::vector<build::KeyValue> found;
    const auto upper = [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); };
    try {
        for (const auto& [name, value] : registry::docker_proxies()) {
            const bool is_given = std::ranges::any_of(arguments, [&](const build::KeyValue& given) {
                return std::ranges::equal(given.key, name, {}, upper);
            });
            if (!is_given) found.push_back({name, value});
        }
    } catch (const Error& error) {  // the build may need none
        print_note(std::string("warning: no proxies taken from docker's file: ") + error.what());
    }
    return found;
}

std::vector<std::string> split_commas(const std::vector<std::string>& words) {
    std::vector<std::string> parts;
    for (std::string_view word : words)
        while (!word.empty()) {
            const auto comma = word.find(',');
            if (comma != 0) parts.emplace_back(word.substr(0, comma));
            word.remove_prefix(comma == std::string_view::npos ? word.size() : comma + 1);
        }
    return parts;
}

// A number of seconds, or the name of something that has a time.
void take_source_date_epoch(build::Request& request) {
    std::string text;
    if (const char* value = std::getenv("SOURCE_DATE_EPOCH")) text = value;
    for (const auto& pair : request.build_args)
        if (pair.key == "SOURCE_DATE_EPOCH") text = pair.value;
    if (text.empty()) return;
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc() && end == text.data() + text.size() && seconds >= 0)
        request.source_date_epoch = seconds;
    else
        request.source_date_epoch_of = text;
}

std::vector<build::Output> outputs_of(const BuildFlags& flags) {
    std::vector<build::Output> outputs;
    for (const auto& text : flags.outputs)
        outputs.push_back(build::parse_output(text));
    const auto is_image = [](const build::Output& output) {
        return output.type == build::OutputType::Image;
    };
    const bool wanted = flags.load || flags.push || outputs.empty();
    if (wanted && std::none_of(outputs.begin(), outputs.end(), is_image)) outputs.emplace_back();
    for (auto& output : outputs) {
        if (flags.push && is_image(output)) output.push = true;
        if (!flags.compression.empty() && !output.compression)
            output.compression = layer::parse_form(flags.compression);
        if (flags.compression_level && !output.compression_level)
            output.compression_level = flags.compression_level;
    }
    return outputs;
}

build::Attestations attestations_of(const BuildFlags& flags) {
    build::Attestations attestations;
    for (const auto& text : flags.attestations)
        build::add_attestation(attestations, text);
    if (!flags.provenance.empty())
        build::add_attestation_of(attestations, "provenance", flags.provenance);
    if (!flags.sbom.empty()) build::add_attestation_of(attestations, "sbom", flags.sbom);
    return attestations;
}

std::vector<oci::Platform> platforms_of(const BuildFlags& flags) {
    std::vector<oci::Platform> platforms;
    auto words = split_commas(flags.platforms);
    if (const char* value = std::getenv("DOCKER_DEFAULT_PLATFORM"); value && words.empty())
        words = split_commas({value});
    for (const auto& word : words)
        platforms.push_back(word == "local"
                                ? oci::Platform::host()
                                : in_context([] { return std::string("failed to parse platform"); },
                                             [&] { return oci::Platform::parse(word); }));
    return platforms;
}

void check_iidfile(const BuildFlags& flags, const std::vector<build::Output>& outputs) {
    if (flags.iidfile.empty()) return;
    const bool any_image =
        std::any_of(outputs.begin(), outputs.end(), [](const build::Output& output) {
            return output.type == build::OutputType::Image ||
                   output.type == build::OutputType::Oci ||
                   output.type == build::OutputType::Docker;
        });
    if (!any_image)
        fail(ErrorKind::Invalid, "local and tar exporters are incompatible with image ID file");
}

// A step may be a compiler that keeps every processor busy, or a download that keeps none. Others
// know no limit at all, so builds count on stages that wait beside each other; this one is for
// builds of dozens of stages.
unsigned default_jobs() {
    return std::max(16u, 4 * std::thread::hardware_concurrency());
}

// Bytes of an archive on a screen help nobody, nor do two archives in one stream.
void check_standard_output(const std::vector<build::Output>& outputs) {
    const auto count = std::ranges::count(outputs, "-", &build::Output::destination);
    if (count > 0 && is_terminal(STDOUT_FILENO))
        fail(ErrorKind::Invalid,
             "dest file is required for this exporter. refusing to write to console");
    if (count > 1) fail(ErrorKind::Invalid, "--output: only one can go to standard output");
}

}  // namespace

void declare_build_flags(CLI::App& app, BuildFlags& flags) {
    required(add_argument(
        app, "CONTEXT", flags.context,
        "What COPY and ADD read from: a directory, a git repository (URL#REF:SUBDIR), the "
        "URL of an archive or a Dockerfile, or - for one of these two on standard input"));
    add_value(app, "-f,--file", flags.file, "FILE",
              "Dockerfile: a path, a URL, or - for standard input (default CONTEXT/Dockerfile)");
    add_values(app, "--build-context", flags.build_contexts, "NAME=SOURCE",
               "What FROM NAME and --from=NAME mean: a directory, a git repository, a URL, "
               "docker-image://IMAGE or oci-layout://DIR[:TAG][@DIGEST]");
    add_values(app, "-t,--tag", flags.tags, "NAME", "Name the image");
    add_value(app, "--target", flags.target, "STAGE", "Build this stage (default: the last)");
    add_values(app, "--build-arg", flags.build_args, "KEY[=VALUE]",
               "Set a build argument; without a value, from the environment");
    add_values(app, "--label", flags.labels, "KEY=VALUE", "Add a label to the image");
    add_values(
        app, "-o,--output", flags.outputs, "SPEC",
        "Where the result goes, one or several: type=T, one of image, registry, oci, docker, "
        "local, tar, cacheonly; dest=PATH; images and archives: name=, compression=, "
        "compression-level=, "
        "compression-memory=, force-compression=, rewrite-timestamp=, oci-mediatypes=, "
        "annotation.KEY=, tar=false; "
        "images: push=, push-by-digest=, name-canonical=, dangling-name-prefix=, store=; trees: "
        "platform-split=, mode=delete; all: source-date-epoch=. A bare path is a local directory, "
        "- a tar on standard output (default type=image)");
    add_switch(app, "--load", flags.load, "Shorthand for --output type=image");
    add_switch(app, "--push", flags.push, "Push the image under its tags");
    add_value(app, "--compression", flags.compression, kFormChoices,
              "Compression of new layers (default zstd)");
    add_number(app, "--compression-level", flags.compression_level,
               "Level of that compression: zstd -7 to 22 (default 3), gzip 0 to 9 (default 6); "
               "without one, of zstd");
    add_switch(app, "--no-cache", flags.no_cache, "Run every command and copy again");
    add_values(app, "--no-cache-filter", flags.no_cache_filter, "STAGE[,STAGE]",
               "Run these stages again");
    add_values(app, "--cache-from", flags.cache_from, "SPEC",
               "Ask this cache for steps that are not known here, one or several: NAME or "
               "type=registry,ref=NAME (an image with an inline cache, too), "
               "type=local,src=DIR[,tag=TAG][,digest=DIGEST]");
    add_values(app, "--cache-to", flags.cache_to, "SPEC",
               "Write the build's cache, one or several: type=inline (into the image), "
               "type=registry,ref=NAME, type=local,dest=DIR[,tag=TAG][,reset=true]; mode=min (the "
               "result's layers, default) or max (every step's), compression=, "
               "compression-level=, ignore-error=true");
    add_switch(app, "--pull", flags.pull, "Ask the registry for newer base images");
    add_value(app, "--network", flags.network, "default|none|host",
              "Network of RUN (default: a private one)");
    add_values(app, "--allow", flags.allow, "ENTITLEMENT",
               "Let RUN have network.host, security.insecure or device[=NAME]");
    add_values(app, "--add-host", flags.add_hosts, "NAME:IP", "Add a line to /etc/hosts of RUN");
    declare_run_flags(app, flags.run);
    add_values(app, "--platform", flags.platforms, "PLATFORM[,PLATFORM]",
               "Build for these platforms, such as linux/arm64; several make an index, local is "
               "this machine's (the default)");
    add_values(app, "--annotation", flags.annotations, "[TYPE[PLATFORM]:]KEY=VALUE",
               "Annotate the image: manifest (default), index, manifest-descriptor, "
               "index-descriptor");
    add_values(app, "--attest", flags.attestations, "type=TYPE[,KEY=VALUE]",
               "Attach a statement to the result: type=provenance (with mode=min|max, "
               "version=v1|v0.2, builder-id=ID, filename=NAME, reproducible=true, "
               "inline-only=true) or type=sbom (with generator=IMAGE and its parameters); "
               "disabled=true takes it back");
    add_value(app, "--provenance", flags.provenance, "BOOLEAN",
              "Attach how the result was made: true (mode=max), false, or options of --attest "
              "type=provenance such as mode=min");
    add_value(app, "--sbom", flags.sbom, "BOOLEAN",
              "Attach which packages are in the result: true, false, or options of --attest "
              "type=sbom such as generator=IMAGE");
    add_number(
        app, "-j,--jobs,--parallel", flags.jobs,
        "Steps that may execute at one time; 0 is unlimited (default: four for each processor, "
        "but at least 16)");
    add_value(app, "--progress", flags.progress, kProgressChoices,
              "How to show progress (default auto)");
    add_switch(app, "-q,--quiet", flags.quiet, "Print only the image ID, on success");
    add_switch(app, "--no-summary", flags.no_summary,
               "Do not say afterwards what took time and space");
    add_value(app, "--on-error", flags.on_error, "shell|stop",
              "After a RUN failed: a shell in what it left, or just stop (the default)");
    add_switch(app, "--explain", flags.explain,
               "Say of every step that is not cached what made it run");
    add_percent(app, "--verify-cache", flags.verify_percent,
                "Execute steps that are cached again and compare what comes out; =PERCENT: only "
                "some of them");
    add_value(app, "--trace", flags.trace, "FILE",
              "Write what ran when, for Chrome's trace viewer or Perfetto");
    declare_call_flags(app, flags.call);
    add_value(app, "--iidfile", flags.iidfile, "FILE", "Write the image ID to a file");
    add_value(app, "--metadata-file", flags.metadata_file, "FILE", "Write build results as JSON");
    add_value(app, "--max-disk", flags.max_disk, "SIZE",
              "Afterwards, drop records of the cache until images and cache take no more than this "
              "(default $SHALE_MAX_DISK)");
    add_value(app, "--builder", flags.builder, "NAME",
              "Ignored: there is no daemon to choose (docker buildx)");
    add_switch(app, "--rm", flags.rm, "Ignored (old docker)");
    add_switch(app, "--force-rm", flags.force_rm, "Ignored (old docker)");
    add_switch(app, "--compress", flags.compress, "Ignored (old docker)");
    add_refused(app, "--policy", "");
}

build::Request build_request(const BuildFlags& flags) {
    if (flags.no_cache && !flags.no_cache_filter.empty())
        fail(ErrorKind::Invalid,
             "--no-cache and --no-cache-filter cannot currently be used together");
    if (flags.context == "-" && flags.file == "-")
        fail(ErrorKind::Invalid, "can't use stdin for both build context and dockerfile");
    build::Request request;
    request.context = flags.context;
    request.dockerfile = flags.file;
    for (const auto& tag : flags.tags) {
        request.tags.push_back(oci::Reference::parse(tag));
        if (request.tags.back().digest)
            fail(ErrorKind::Invalid, "invalid tag \"" + tag + "\": a tag cannot have a digest");
    }
    request.target = flags.target;
    request.build_args = build_arguments(flags.build_args);
    request.proxies = proxies_for(request.build_args);
    for (const auto& context : flags.build_contexts)
        request.build_contexts.push_back(split_pair(context, "--build-context"));
    for (const auto& label : flags.labels)
        request.labels.push_back(split_pair(label, "--label"));
    request.attestations = attestations_of(flags);
    request.outputs = outputs_of(flags);
    build::settle_outputs(request);
    check_iidfile(flags, request.outputs);
    check_standard_output(request.outputs);
    request.no_cache = flags.no_cache;
    request.no_cache_filter = split_commas(flags.no_cache_filter);
    request.pull = flags.pull;
    for (const auto& text : flags.cache_from)
        request.cache_from.push_back(build::parse_cache_source(text));
    for (const auto& text : flags.cache_to)
        request.cache_to.push_back(build::parse_cache_target(text));
    request.explain = flags.explain;
    if (flags.verify_percent > 0)
        request.verify_percent = static_cast<unsigned>(flags.verify_percent);
    if (!flags.network.empty()) request.network = flags.network;
    request.allow = split_commas(flags.allow);
    request.add_hosts = flags.add_hosts;
    apply_run_flags(flags.run, request);
    request.platforms = platforms_of(flags);
    for (const auto& text : flags.annotations)
        for (auto& annotation : build::parse_annotation(text))
            request.annotations.push_back(std::move(annotation));
    take_source_date_epoch(request);
    if (flags.jobs && *flags.jobs < 0) fail(ErrorKind::Invalid, "--jobs must not be negative");
    request.jobs = flags.jobs ? static_cast<unsigned>(*flags.jobs) : default_jobs();
    return request;
}

}  // namespace shale::cli
