#include "completions.hpp"

#include "help.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::cli {

namespace {

// What the words of a value or argument are, by the name that help shows for it.
enum class Kind { Nothing, Path, Image, Command, Shell };

Kind kind_of(std::string_view name) {
    for (const std::string_view path : {"FILE", "DIR", "CONTEXT", "SPEC"})
        if (name == path) return Kind::Path;
    // A and B of diff and layer are images too, but mostly paths.
    if (name == "A" || name == "B") return Kind::Path;
    if (name == "REF" || name == "SRC" || name == "DST") return Kind::Image;
    if (name == "SHELL") return Kind::Shell;
    return name == "COMMAND" ? Kind::Command : Kind::Nothing;
}

struct Shape {
    const Command* command;
    std::vector<FlagRow> flags;
    std::vector<ArgumentRow> arguments;
};

std::vector<Shape> shapes() {
    std::vector<Shape> list;
    for (const auto* command : commands()) {
        if (command->hidden) continue;
        const Parser parser(*command);
        list.push_back({command, flag_rows(parser.app), argument_rows(parser.app)});
    }
    return list;
}

std::string command_words() {
    std::string words;
    for (const auto* command : commands())
        if (!command->hidden) words += (words.empty() ? "" : " ") + std::string(command->name);
    return words;
}

std::string all_names(const std::vector<FlagRow>& flags) {
    std::string words;
    for (const auto& flag : flags)
        for (const auto& name : flag.names)
            words += (words.empty() ? "" : " ") + name;
    return words;
}

// Within single quotes of a POSIX shell.
std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

// ------------------------------------------------------------------------------------------ bash

std::string bash_words(const std::string& words) {
    return "COMPREPLY=($(compgen -W " + shell_quoted(words) + " -- \"$cur\"))";
}

std::string bash_action(Kind kind) {
    switch (kind) {
    case Kind::Path:
        return "_shale_paths";
    case Kind::Image:
        return "_shale_images";
    case Kind::Command:
        return bash_words(command_words());
    case Kind::Shell:
        return bash_words("bash zsh fish");
    case Kind::Nothing:
        break;
    }
    return ":";
}

// The parts of the script that do not depend on the commands.
constexpr const char* kBashHead =
    R"sh(# bash completion for shale, written by `shale completion bash`.

_shale_paths() {
    compopt -o filenames
    COMPREPLY=($(compgen -f -- "$cur"))
}

_shale_images() {
    COMPREPLY=($(compgen -W "$(shale images --names 2>/dev/null)" -- "$cur"))
    # bash splits words at colons; what is left of the last one is already on the line.
    [[ $cur != *:* ]] || COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
}

)sh";
constexpr const char* kBashWords = R"sh(
_shale() {
    local cur prev command='' flags='' position=0 i word
    COMPREPLY=()
    # The word under the cursor with its colons, however COMP_WORDBREAKS cuts it.
    cur=${COMP_LINE:0:COMP_POINT}
    cur=${cur##*[[:blank:]]}
    prev=${COMP_LINE:0:COMP_POINT-${#cur}}
    read -r -a word <<< "$prev"
    prev=
    ((${#word[@]} < 2)) || prev=${word[-1]}
    for ((i = 1; i < ${#word[@]}; ++i)); do
        case ${word[i]} in
        --root) ((++i)) ;;
        -*) ;;
        *) if [[ -z $command ]]; then command=${word[i]}; else ((++position)); fi ;;
        esac
    done
    if [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$_shale_commands" -- "$cur"))
        return
    fi
    case $command:$prev in
)sh";
constexpr const char* kBashFlags = R"sh(    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        return
    fi
    case $command in
)sh";

// `flag) action ;;` for every flag that takes a value.
std::string bash_values(const Shape& shape) {
    std::string out;
    for (const auto& flag : shape.flags) {
        if (flag.metavar.empty()) continue;
        const std::string action =
            flag.choices.empty() ? bash_action(kind_of(flag.metavar))
                                 : bash_words(fmt::format("{}", fmt::join(flag.choices, " ")));
        out += fmt::format("        {}:{}) {}; return ;;\n", shape.command->name,
                           fmt::join(flag.names, fmt::format("|{}:", shape.command->name)), action);
    }
    return out;
}

}  // namespace

std::string bash_completion() {
    std::string values, flags, arguments;
    for (const auto& shape : shapes()) {
        values += bash_values(shape);
        flags += fmt::format("        {}) flags={} ;;\n", shape.command->name,
                             shell_quoted(all_names(shape.flags)));
        const std::string action =
            shape.arguments.empty() ? ":" : bash_action(kind_of(shape.arguments.back().name));
        std::string first = action;
        if (shape.arguments.size() > 1 && bash_action(kind_of(shape.arguments[0].name)) != action)
            first = "if ((position == 0)); then " + bash_action(kind_of(shape.arguments[0].name)) +
                    "; else " + action + "; fi";
        arguments += fmt::format("        {}) {} ;;\n", shape.command->name, first);
    }
    return std::string(kBashHead) + "_shale_commands=" + shell_quoted(command_words()) + "\n" +
           kBashWords + values + "    esac\n    case $command in\n" + flags + kBashFlags +
           arguments + "    esac\n}\ncomplete -F _shale shale\n";
}

// ------------------------------------------------------------------------------------------- zsh

namespace {

std::string zsh_action(Kind kind) {
    switch (kind) {
    case Kind::Path:
        return "_files";
    case Kind::Image:
        return "_shale_images";
    case Kind::Command:
        return "(" + command_words() + ")";
    case Kind::Shell:
        return "(bash zsh fish)";
    case Kind::Nothing:
        break;
    }
    return " ";
}

constexpr const char* kZshHead = R"sh(#compdef shale
# zsh completion for shale, written by `shale completion zsh`.

_shale_images() {
    local -a names
    names=(${(f)"$(shale images --names 2>/dev/null)"})
    compadd -a names
}

_shale() {
    local curcontext=$curcontext state line
    local -a commands
)sh";
constexpr const char* kZshWords = R"sh(    )
    _arguments -C '--root[directory of the store]:DIR:_files -/' '1: :->command' '*:: :->rest'
    case $state in
    command) _describe command commands ;;
    rest)
        case $line[1] in
)sh";
constexpr const char* kZshTail = R"sh(        esac ;;
    esac
}
_shale "$@"
)sh";

// Brackets and colons end a description in the language of _arguments.
std::string zsh_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string zsh_flag(const FlagRow& flag) {
    std::string value;
    if (!flag.metavar.empty())
        value =
            fmt::format(":{}:{}", zsh_text(flag.metavar),
                        flag.choices.empty() ? zsh_action(kind_of(flag.metavar))
                                             : fmt::format("({})", fmt::join(flag.choices, " ")));
    std::string out;
    for (const auto& name : flag.names)
        out += " \\\n        " + shell_quoted((flag.repeatable ? "*" : "") + name + "[" +
                                              zsh_text(flag.meaning) + "]" + value);
    return out;
}

}  // namespace

std::string zsh_completion() {
    std::string descriptions, cases;
    for (const auto& shape : shapes()) {
        descriptions += "        " +
                        shell_quoted(std::string(shape.command->name) + ":" +
                                     zsh_text(shape.command->summary)) +
                        "\n";
        cases += fmt::format("    {}) _arguments", shape.command->name);
        for (const auto& flag : shape.flags)
            cases += zsh_flag(flag);
        for (std::size_t i = 0; i < shape.arguments.size(); ++i) {
            const bool last = i + 1 == shape.arguments.size();
            cases += " \\\n        " +
                     shell_quoted((last ? "*:" : ":") + zsh_text(shape.arguments[i].name) + ":" +
                                  zsh_action(kind_of(shape.arguments[i].name)));
        }
        cases += " ;;\n";
    }
    return std::string(kZshHead) + "    commands=(\n" + descriptions + kZshWords + cases + kZshTail;
}

// ------------------------------------------------------------------------------------------ fish

namespace {

std::string fish_value(const FlagRow& flag) {
    if (flag.metavar.empty()) return "";
    if (!flag.choices.empty())
        return " -x -a " + shell_quoted(fmt::format("{}", fmt::join(flag.choices, " ")));
    return kind_of(flag.metavar) == Kind::Path ? " -r -F" : " -x";
}

}  // namespace

std::string fish_completion() {
    std::string out = "# fish completion for shale, written by `shale completion fish`.\n"
                      "set -l commands " +
                      command_words() + "\ncomplete -c shale -f\n";
    for (const auto& shape : shapes()) {
        out += fmt::format(
            "complete -c shale -n \"not __fish_seen_subcommand_from $commands\" -a {} -d {}\n",
            shape.command->name, shell_quoted(shape.command->summary));
        const std::string when = fmt::format(
            "complete -c shale -n '__fish_seen_subcommand_from {}'", shape.command->name);
        for (const auto& flag : shape.flags) {
            out += when;
            for (const auto& name : flag.names)
                out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
            out += fish_value(flag) + " -d " + shell_quoted(flag.meaning) + "\n";
        }
        const auto takes = [&](Kind kind) {
            return std::any_of(shape.arguments.begin(), shape.arguments.end(),
                               [&](const ArgumentRow& row) { return kind_of(row.name) == kind; });
        };
        if (takes(Kind::Path)) out += when + " -F\n";
        if (takes(Kind::Image)) out += when + " -a '(shale images --names 2>/dev/null)'\n";
        if (takes(Kind::Shell)) out += when + " -a \"bash zsh fish\"\n";
        if (takes(Kind::Command)) out += when + " -a \"$commands\"\n";
    }
    return out;
}

}  // namespace shale::cli
