#include "help.hpp"

#include "terminal_text.hpp"

// CLI::App owns a formatter and a configuration reader; their bodies must be in one place.
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace shale::cli {

namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kMeaningColumn = 30;

// Refills `text` to kColumns, every line but the first behind `indent` blanks.
std::string filled(std::string_view text, std::size_t indent, std::size_t at) {
    std::string out;
    while (!text.empty()) {
        const auto blank = text.find(' ');
        const auto word = text.substr(0, blank);
        text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
        if (at + word.size() > kColumns && at > indent) {
            while (!out.empty() && out.back() == ' ')
                out.pop_back();
            out += "\n" + std::string(indent, ' ');
            at = indent;
        }
        out += word;
        at += word.size();
        if (!text.empty()) {
            out += ' ';
            ++at;
        }
    }
    return out;
}

std::string paragraphs(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto gap = text.find("\n\n");
        out += filled(text.substr(0, gap), 0, 0) + "\n\n";
        text.remove_prefix(gap == std::string_view::npos ? text.size() : gap + 2);
    }
    return out;
}

// A list of choices that is too long for one line goes on in a next one, behind a bar.
std::string within_columns(const std::string& left) {
    if (left.size() <= kColumns) return left;
    const auto bar = left.rfind('|', kColumns - 1);
    if (bar == std::string::npos) return left;
    const auto choices = left.rfind(' ', bar) + 1;
    return left.substr(0, bar + 1) + "\n" +
           within_columns(std::string(choices, ' ') + left.substr(bar + 1));
}

std::string row(const std::string& left, std::string_view meaning) {
    std::string out = within_columns("  " + left);
    if (out.size() + 2 > kMeaningColumn)
        out += "\n" + std::string(kMeaningColumn, ' ');
    else
        out.append(kMeaningColumn - out.size(), ' ');
    return out + filled(meaning, kMeaningColumn, kMeaningColumn) + "\n";
}

std::string flag_text(const FlagRow& flag) {
    // Long names line up whether or not there is a short one.
    std::string text = flag.names.front().starts_with("--") ? "    " : "";
    text += fmt::format("{}", fmt::join(flag.names, ", "));
    return flag.metavar.empty() ? text : text + " " + flag.metavar;
}

std::string flag_section(const CLI::App& app, bool global) {
    std::string out;
    for (const auto& flag : flag_rows(app))
        if (flag.global == global)
            out +=
                row(flag_text(flag), flag.meaning + (flag.repeatable ? "; may be repeated" : ""));
    return out;
}

}  // namespace

Parser::Parser(const Command& command) : app(std::string(command.summary)) {
    app.name(std::string(command.name));
    run = command.declare(app);
    add_globals(app, globals, false);
}

std::string overview() {
    std::string out =
        "Usage: shale [--root DIR] COMMAND [OPTIONS] [ARGUMENTS]\n\n"
        "Builds container images, makes and reads their layers, and shows them as file "
        "systems.\n";
    std::string_view group;
    for (const auto* command : commands()) {
        if (command->hidden) continue;
        if (command->group != group) out += fmt::format("\n{}:\n", group = command->group);
        out += fmt::format("  {:<12}{}\n", command->name, command->summary);
    }
    CLI::App app;
    Globals globals;
    add_globals(app, globals, true);
    out += fmt::format("\n{}:\n{}", kGlobalGroup, flag_section(app, true));
    return out + "\n`shale COMMAND --help` describes a command, with examples.\n";
}

std::string command_help(const Command& command, const CLI::App& app) {
    std::string out =
        fmt::format("Usage: shale {} {}\n\n{}.\n\n", command.name, command.usage, command.summary);
    out += paragraphs(command.details);
    const auto arguments = argument_rows(app);
    if (!arguments.empty()) out += "Arguments:\n";
    for (const auto& argument : arguments)
        out += row(argument.name, argument.meaning);
    if (!arguments.empty()) out += "\n";
    const auto flags = flag_section(app, false);
    if (!flags.empty()) out += "Options:\n" + flags + "\n";
    out += fmt::format("{}:\n{}", kGlobalGroup, flag_section(app, true));
    if (!command.examples.empty()) out += "\nExamples:\n";
    for (const auto& example : command.examples)
        out += fmt::format("  {}\n      {}\n", example.line, example.meaning);
    return out;
}

}  // namespace shale::cli
