#include "manual.hpp"

#include "help.hpp"

#include <fmt/format.h>

namespace shale::cli {

namespace {

// Characters that troff would read as its own; a hyphen is written as the one people type.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
            out += std::string("\\&") + c;
        else
            out += c;
    }
    return out;
}

std::string bold(std::string_view text) {
    return "\\fB" + escaped(text) + "\\fR";
}

std::string italic(std::string_view text) {
    return "\\fI" + escaped(text) + "\\fR";
}

std::string title(const std::string& name) {
    return fmt::format(".TH {} 1 \"\" \"shale {}\" \"shale manual\"\n", escaped(name),
                       SHALE_VERSION);
}

std::string name_section(const std::string& name, std::string_view summary) {
    return fmt::format(".SH NAME\n{} \\- {}\n", escaped(name), escaped(summary));
}

std::string paragraphs(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto gap = text.find("\n\n");
        out += ".PP\n" + escaped(text.substr(0, gap)) + "\n";
        text.remove_prefix(gap == std::string_view::npos ? text.size() : gap + 2);
    }
    return out;
}

std::string flag_section(const CLI::App& app, bool global) {
    std::string out;
    for (const auto& flag : flag_rows(app)) {
        if (flag.global != global) continue;
        std::string names;
        for (const auto& name : flag.names)
            names += (names.empty() ? "" : ", ") + bold(name);
        if (!flag.metavar.empty()) names += " " + italic(flag.metavar);
        out += fmt::format(".TP\n{}\n{}{}.\n", names, escaped(flag.meaning),
                           flag.repeatable ? "; may be repeated" : "");
    }
    return out;
}

std::string argument_section(const CLI::App& app) {
    std::string out;
    for (const auto& argument : argument_rows(app))
        out += fmt::format(".TP\n{}\n{}.\n", italic(argument.name), escaped(argument.meaning));
    return out;
}

// What the process status means, in the words of exit_codes.hpp.
std::string status_section(const Command& command) {
    struct Status {
        int code;
        std::string_view meaning;
    };
    std::vector<Status> rows;
    if (command.failure_code == kTrouble)
        rows = {{kOk, "The two are equal"},
                {kDifferent, "They differ"},
                {kTrouble, "Usage error, or one of them could not be read"}};
    else if (command.failure_code == kShellFailed)
        rows = {{kShellFailed, "shale could not set the container up"},
                {kCannotStart, "The command exists in the image and cannot be run"},
                {kCommandNotFound, "The image holds no such command"}};
    else
        rows = {{kOk, "Success"}, {kFailure, "Usage error, or the operation failed"}};
    std::string out = ".SH EXIT STATUS\n";
    if (command.failure_code == kShellFailed)
        out += "The status of the command, 128 plus the signal if one killed it, or:\n";
    rows.push_back({kInterrupted, "Interrupted"});
    rows.push_back({kTerminated, "Terminated"});
    for (const auto& row : rows)
        out += fmt::format(".TP\n.B {}\n{}.\n", row.code, row.meaning);
    return out;
}

}  // namespace

std::string manual_page(const Command& command) {
    const std::string name = "shale-" + std::string(command.name);
    const Parser parser(command);
    std::string out = title(name) + name_section(name, command.summary);
    out += fmt::format(".SH SYNOPSIS\n{} {}\n", bold("shale " + std::string(command.name)),
                       escaped(command.usage));
    out += ".SH DESCRIPTION\n" + escaped(command.summary) + ".\n" + paragraphs(command.details);
    if (const auto arguments = argument_section(parser.app); !arguments.empty())
        out += ".SH ARGUMENTS\n" + arguments;
    constexpr bool kGlobal = true;
    if (const auto flags = flag_section(parser.app, !kGlobal); !flags.empty())
        out += ".SH OPTIONS\n" + flags;
    out += ".SH GLOBAL OPTIONS\n" + flag_section(parser.app, kGlobal);
    out += status_section(command);
    if (!command.examples.empty()) out += ".SH EXAMPLES\n";
    for (const auto& example : command.examples)
        out += fmt::format(".TP\n{}\n{}.\n", bold(example.line), escaped(example.meaning));
    return out + ".SH SEE ALSO\n.BR shale (1)\n";
}

std::string manual_overview() {
    std::string out = title("shale") + name_section("shale", "build container images, make and "
                                                             "read their layers, mount them");
    out += ".SH SYNOPSIS\n" + bold("shale") + " [\\-\\-root DIR] COMMAND [OPTIONS] [ARGUMENTS]\n";
    out += ".SH DESCRIPTION\n"
           "Builds container images from Dockerfiles, makes and reads their layers, and shows "
           "them as file systems without unpacking them.\n"
           "Each command has a manual page of its own.\n";
    std::string_view group;
    for (const auto* command : commands()) {
        if (command->hidden) continue;
        if (command->group != group)
            out += fmt::format(".SS {}\n", escaped(group = command->group));
        out += fmt::format(".TP\n.BR shale\\-{} (1)\n{}.\n", escaped(command->name),
                           escaped(command->summary));
    }
    CLI::App app;
    Globals globals;
    add_globals(app, globals, true);
    out += ".SH OPTIONS\n" + flag_section(app, true);
    struct Variable {
        std::string_view name, meaning;
    };
    static constexpr Variable kVariables[] = {
        {"SHALE_ROOT", "Directory of the store"},
        {"SHALE_CONFIG", "Configuration file: mirrors and registries without TLS"},
        {"SHALE_RUNTIME", "Container runtime for RUN and shell, instead of crun or runc"},
        {"DOCKER_CONFIG",
         "Directory of config.json, read for registry credentials and the proxies of builds"},
        {"REGISTRY_AUTH_FILE", "File with registry credentials, asked before Docker's"},
        {"DOCKER_DEFAULT_PLATFORM", "What to build for, unless --platform says so"},
        {"BUILDKIT_PROGRESS", "How to show progress of a build, unless --progress says so"},
        {"SSL_CERT_FILE", "Certificates that registries are checked against"},
        {"SOURCE_DATE_EPOCH",
         "Time, in seconds, of everything a build creates; or whose time to take: context, a named "
         "context, or a stage of one remote ADD"},
        {"NO_COLOR", "If set, no colours"}};
    out += ".SH ENVIRONMENT\n";
    for (const auto& variable : kVariables)
        out += fmt::format(".TP\n.B {}\n{}.\n", variable.name, escaped(variable.meaning));
    return out;
}

}  // namespace shale::cli
