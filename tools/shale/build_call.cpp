#include "build_call.hpp"

#include "call_report.hpp"
#include "console.hpp"
#include "exit_codes.hpp"
#include "terminal_text.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/definition_file.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>

namespace shale::cli {

namespace {

enum class Method { Build, Check, Outline, Targets, Describe };

struct Call {
    Method method = Method::Build;
    bool json = false;
};

Method parse_method(std::string word) {
    constexpr std::string_view kLead = "frontend.";
    if (word.starts_with(kLead)) word.erase(0, kLead.size());
    if (word == "build") return Method::Build;
    if (word == "check" || word == "lint") return Method::Check;
    if (word == "outline") return Method::Outline;
    if (word == "targets") return Method::Targets;
    if (word == "subrequests.describe") return Method::Describe;
    const std::string known[] = {"build",   "check",   "lint",
                                 "outline", "targets", "subrequests.describe"};
    const auto nearest = nearest_match(word, known);
    fail(ErrorKind::Invalid, "unsupported request frontend." + word +
                                 (nearest.empty() ? "" : " (did you mean " + nearest + "?)"));
}

// "method[,format=json|text]".
Call parse_call(const CallFlags& flags) {
    Call call;
    if (flags.call.empty()) {
        call.method = flags.check ? Method::Check : Method::Build;
        return call;
    }
    const auto comma = std::min(flags.call.find(','), flags.call.size());
    call.method = parse_method(flags.call.substr(0, comma));
    if (flags.check && call.method != Method::Check)
        fail(ErrorKind::Invalid, "--check and --call=" + flags.call + " contradict each other");
    if (comma == flags.call.size()) return call;
    const auto option = flags.call.substr(comma + 1);
    if (option != "format=json" && option != "format=text")
        fail(ErrorKind::Invalid, "--call: \"" + option + "\" is not format=json or format=text");
    call.json = option == "format=json";
    return call;
}

struct Text {
    std::string path;  // empty for standard input
    std::string name, text;
};

// From a directory or standard input; a Dockerfile that has to be fetched is one to build.
Text read_text(const build::Request& request) {
    if (request.dockerfile == "-" || request.context == "-")
        return {"",
                "Dockerfile",
                {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}};
    if (!path_exists(request.context))
        fail(ErrorKind::NotFound, "unable to prepare context: path \"" + request.context +
                                      "\" not found; --call reads a directory or standard input");
    const auto path = build::definition_path(request.context, request.dockerfile);
    constexpr std::uint64_t kMaxBytes = 16u << 20;
    auto text = build::read_definition(path, request.context, kMaxBytes);
    if (!text) fail(ErrorKind::NotFound, "open " + path + ": no such file or directory");
    return {path, path.substr(path.rfind('/') + 1), std::move(*text)};
}

dockerfile::IgnoreMatcher read_ignore(const build::Request& request, const Text& text) {
    const auto file = build::read_ignore_file(request.context, text.path);
    if (!file) return {};
    return in_context([&] { return "failed parsing " + file->path; },
                      [&] { return dockerfile::IgnoreMatcher::parse(file->text); });
}

void to_stderr(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
}

void print_problem(const std::string& message, std::string_view excerpt) {
    while (!excerpt.empty()) {
        const auto end = excerpt.find('\n');
        to_stderr(printable(excerpt.substr(0, end)) + "\n");
        excerpt.remove_prefix(end == std::string_view::npos ? excerpt.size() : end + 1);
    }
    to_stderr("ERROR: failed to solve: " + printable(message) + "\n");
}

int run_check(bool json, const build::Request& request, const Text& text, Workspace& workspace) {
    std::optional<dockerfile::IgnoreMatcher> ignore;
    if (request.context != "-") ignore = read_ignore(request, text);
    const auto result = build::check(request, text.text, text.name, ignore ? &*ignore : nullptr,
                                     workspace.images());
    print_result(json ? check_json(result) : check_text(result));
    if (!json)
        for (const auto& problem : result.problems)
            print_problem(problem.message, problem.excerpt);
    for (const auto& image : result.unknown_images)
        print_note("note: the config of " + image +
                   " could not be read; undefined variables on top of it were not looked for");
    return result.warnings.empty() && result.problems.empty() ? kOk : kFailure;
}

// The other methods need a file without mistakes.
std::optional<dockerfile::File> parse_good(const Text& text) {
    auto parsed = dockerfile::parse(text.text, text.name);
    for (const auto& diagnostic : parsed.diagnostics)
        if (diagnostic.severity == dockerfile::Severity::Error)
            print_problem(dockerfile::message(diagnostic),
                          dockerfile::excerpt(parsed.file, diagnostic.lines, diagnostic.place));
    if (!parsed.ok()) return std::nullopt;
    return std::move(parsed.file);
}

}  // namespace

void declare_call_flags(CLI::App& app, CallFlags& flags) {
    add_switch(app, "--check", flags.check, "Check the Dockerfile instead of building it");
    add_value(app, "--call", flags.call, "METHOD[,format=json]",
              "Answer a question instead of building: check, outline, targets, "
              "subrequests.describe");
}

bool is_call(const CallFlags& flags) {
    return parse_call(flags).method != Method::Build;
}

int run_call(const CallFlags& flags, const build::Request& request, Workspace& workspace) {
    const auto call = parse_call(flags);
    if (call.method == Method::Describe) {
        print_result(call.json ? methods_json() : methods_text());
        return kOk;
    }
    const auto text = read_text(request);
    if (call.method == Method::Check) return run_check(call.json, request, text, workspace);
    const auto file = parse_good(text);
    if (!file) return kFailure;
    if (call.method == Method::Targets) {
        const auto targets = build::list_targets(*file);
        print_result(call.json ? targets_json(targets, *file) : targets_text(targets));
        return kOk;
    }
    const auto outline = build::outline(request, *file);
    print_result(call.json ? outline_json(outline, *file) : outline_text(outline));
    return kOk;
}

}  // namespace shale::cli
