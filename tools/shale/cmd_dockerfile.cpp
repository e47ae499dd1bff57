// shale dockerfile: work on a Dockerfile as a text: its normal form, its syntax tree.
#include "command.hpp"
#include "console.hpp"
#include "dockerfile_json.hpp"
#include "flags.hpp"
#include "input.hpp"
#include "terminal_text.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <sys/stat.h>

#include <cstdio>
#include <memory>

namespace shale::cli {

namespace {

constexpr std::uint64_t kMaxBytes = 16u << 20;

struct Flags {
    std::string action, file = "Dockerfile";
    bool write = false, check = false, json = false;
};

std::string display_name(const std::string& file) {
    return file == "-" ? "Dockerfile" : file;
}

// Every mistake with its lines, as a build shows them. False if there are none.
bool explain_mistakes(const dockerfile::ParseResult& parsed) {
    for (const auto& diagnostic : parsed.diagnostics) {
        if (diagnostic.severity != dockerfile::Severity::Error) continue;
        std::string text = dockerfile::excerpt(parsed.file, diagnostic.lines, diagnostic.place);
        std::string out;
        for (std::size_t at = 0; at < text.size();) {
            const auto end = text.find('\n', at);
            out += printable(text.substr(at, end - at)) + "\n";
            at = end + 1;
        }
        out += "ERROR: " + printable(dockerfile::message(diagnostic)) + "\n";
        std::fwrite(out.data(), 1, out.size(), stderr);
    }
    return !parsed.ok();
}

// With the mode it had.
void replace_file(const std::string& path, const std::string& text) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw_errno("stat", path);
    write_output_file(path, as_bytes(text));
    if (S_ISREG(status.st_mode) && ::chmod(path.c_str(), status.st_mode & 07777) != 0)
        throw_errno("chmod", path);
}

int run_fmt(const Flags& flags) {
    if (flags.write && flags.check)
        fail(ErrorKind::Invalid, "--write and --check contradict each other");
    if (flags.write && flags.file == "-")
        fail(ErrorKind::Invalid, "--write needs a file, not standard input");
    const auto text = read_input(flags.file, kMaxBytes);
    if (explain_mistakes(dockerfile::parse(text, display_name(flags.file)))) return kFailure;
    const auto formatted = dockerfile::format(text);
    if (flags.check) {
        if (formatted == text) return kOk;
        print_error(display_name(flags.file) + " is not in normal form; `shale dockerfile fmt "
                                               "--write` writes it");
        return kFailure;
    }
    if (!flags.write)
        print_result(formatted);
    else if (formatted != text)
        replace_file(flags.file, formatted);
    return kOk;
}

// A tree with mistakes is a tree, too: an editor wants to see what there is.
int run_ast(const Flags& flags) {
    const auto parsed =
        dockerfile::parse(read_input(flags.file, kMaxBytes), display_name(flags.file));
    print_result(flags.json ? syntax_tree_json(parsed) : syntax_tree_text(parsed.file));
    return explain_mistakes(parsed) ? kFailure : kOk;
}

int run(const Flags& flags) {
    const bool is_fmt = flags.action == "fmt";
    if (is_fmt && flags.json) fail(ErrorKind::Invalid, "--json belongs to ast");
    if (!is_fmt && (flags.write || flags.check))
        fail(ErrorKind::Invalid, "--write and --check belong to fmt");
    return is_fmt ? run_fmt(flags) : run_ast(flags);
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    restrict_to(required(add_argument(app, "ACTION", flags->action,
                                      "fmt prints the normal form, ast the syntax tree")),
                "fmt|ast");
    add_argument(app, "FILE", flags->file, "Default: Dockerfile; - reads standard input");
    add_switch(app, "--write", flags->write, "fmt: replace the file, if it differs");
    add_switch(app, "--check", flags->check, "fmt: only say by exit status 1 that it differs");
    add_switch(app, "--json", flags->json, "ast: the whole tree as JSON, with lines and columns");
    return [flags](Workspace&) { return run(*flags); };
}

}  // namespace

const Command& dockerfile_command() {
    static const Command command = {
        .name = "dockerfile",
        .group = "Build",
        .summary = "Format a Dockerfile, or show its syntax tree",
        .usage = "fmt|ast [OPTIONS] [FILE]",
        .details =
            "The normal form has keywords in upper case, one blank between words, four in front "
            "of a continued line, JSON arrays on one line, and an empty line before each stage. "
            "Comments, directives, heredocs, line breaks and everything inside a command stay. It "
            "means the same to a build, and its own normal form is itself.\n\n"
            "`shale build --check` looks for mistakes and bad habits.",
        .examples = {{"shale dockerfile fmt --write Dockerfile", "Put a file in normal form"},
                     {"shale dockerfile fmt --check", "Fail in CI if it is not"},
                     {"shale dockerfile ast --json Dockerfile | jq '.stages[].name'",
                      "The names of the stages"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
