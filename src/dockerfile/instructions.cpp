// Builders of typed instructions.
//
// One function per instruction word, in the order of the table at the end of the file. What they
// share: flags that an instruction does not know are an error in every instruction but ARG and
// STOPSIGNAL, which ignore them; texts of errors follow the reference builder.
#include "instructions.hpp"

#include "characters.hpp"
#include "flags.hpp"
#include "healthcheck.hpp"
#include "heredoc.hpp"
#include "mistake.hpp"
#include "mount_options.hpp"

#include <algorithm>
#include <utility>

namespace shale::dockerfile {
namespace {

const std::vector<std::string> kNetworkModes = {"default", "none", "host"};
const std::vector<std::string> kSecurityModes = {"sandbox", "insecure"};

void no_flags(const Statement& statement) {
    FlagSet().parse(statement.flags);
}

const std::string& only_argument(const Statement& statement) {
    if (statement.args.size() != 1) reject(statement.keyword + " requires exactly one argument");
    return statement.args[0];
}

void require_arguments(const Statement& statement) {
    if (statement.args.empty()) reject(statement.keyword + " requires at least one argument");
}

// In shell form there is exactly one element, even when nothing was written.
Command build_command(const Statement& statement) {
    Command command;
    command.exec_form = statement.json;
    command.argv = statement.args;
    if (!command.exec_form && command.argv.empty()) command.argv.emplace_back();
    return command;
}

// --device=[name=]<device>[,required[=bool]]; kept as text, but refused when malformed.
void check_device(const std::string& spec) {
    static const std::vector<std::string> kKeys = {"name", "required"};
    std::string name;
    for (const std::string& field : split_csv(spec, "devices")) {
        const auto equals = field.find('=');
        const std::string key = lower(std::string_view(field).substr(0, equals));
        const bool bare = equals == std::string::npos;
        if (key == "required") {
            if (!bare && !read_truth(std::string_view(field).substr(equals + 1)))
                reject("invalid value for required: " + field.substr(equals + 1));
        } else if (key == "name" && !bare) {
            if (!name.empty()) reject("device name already set to " + name);
            name = field.substr(equals + 1);
        } else if (name.empty()) {
            name = field;  // "vendor/class=device" has a '=' of its own
        } else if (bare) {
            reject("invalid field '" + field + "' must be a key=value pair");
        } else {
            reject("unexpected key '" + key + "' in '" + field + "'", suggest(key, kKeys));
        }
    }
}

// The place of the `nth` flag of that name: "--name=..." or "--name".
std::size_t flag_index(const Statement& statement, std::string_view name, std::size_t nth = 0) {
    for (std::size_t i = 0; i < statement.flags.size(); ++i) {
        const std::string_view text = statement.flags[i].text;
        if (text.substr(2, text.find('=') - 2) == name && nth-- == 0) return i;
    }
    return 0;
}

InstructionValue build_run(const Statement& statement, char escape) {
    Run run;
    std::vector<std::string> mounts;
    FlagSet flags;
    flags.list("mount", mounts)
        .text("network", run.network)
        .text("security", run.security)
        .list("device", run.devices)
        .parse(statement.flags);
    run.command = build_command(statement);
    run.command.heredocs = statement.heredocs;
    for (std::size_t i = 0; i < mounts.size(); ++i)
        blame_flag(flag_index(statement, "mount", i),
                   [&] { run.mounts.push_back(read_written_mount(mounts[i], escape)); });
    blame_flag(flag_index(statement, "network"), [&] {
        if (flags.used("network") && run.network != "default" && run.network != "none" &&
            run.network != "host")
            reject("invalid network mode " + quoted(run.network),
                   suggest(run.network, kNetworkModes));
    });
    blame_flag(flag_index(statement, "security"), [&] {
        if (flags.used("security") && run.security != "sandbox" && run.security != "insecure")
            reject("security " + quoted(run.security) + " is not valid",
                   suggest(run.security, kSecurityModes));
    });
    for (std::size_t i = 0; i < run.devices.size(); ++i)
        blame_flag(flag_index(statement, "device", i), [&] { check_device(run.devices[i]); });
    return run;
}

// "<<" and "EOF" belong together when a blank stands between them, as they do in a shell.
std::vector<std::string> join_heredoc_words(const std::vector<std::string>& words) {
    std::vector<std::string> joined;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        const bool open = (word.ends_with("<<") || word.ends_with("<<-")) && i + 1 < words.size() &&
                          read_heredoc_word(word + words[i + 1]);
        joined.push_back(open ? word + words[++i] : word);
    }
    return joined;
}

// A source that names a heredoc of this instruction; of two with one name the last body wins.
const Heredoc* find_heredoc(const Statement& statement, const std::string& source) {
    const auto word = read_heredoc_word(source);
    if (!word) return nullptr;
    const auto& all = statement.heredocs;
    const auto found = std::find_if(all.rbegin(), all.rend(),
                                    [&](const Heredoc& doc) { return doc.name == word->name; });
    return found == all.rend() ? nullptr : &*found;
}

std::vector<std::string> copy_operands(const Statement& statement) {
    auto words = statement.json ? statement.args : join_heredoc_words(statement.args);
    if (words.size() < 2)
        reject(statement.keyword + " requires at least two arguments, but only one was provided. "
                                   "Destination could not be determined");
    return words;
}

// The last operand is the destination.
void place_operands(const Statement& statement, std::vector<std::string> words, Copy& copy) {
    copy.destination = std::move(words.back());
    words.pop_back();
    if (statement.json) {
        copy.sources = std::move(words);
        return;
    }
    if (read_heredoc_word(copy.destination))
        reject_operand(statement.operands.size() - 1,
                       statement.keyword + " cannot accept a heredoc as a destination");
    for (std::string& word : words) {
        if (const Heredoc* heredoc = find_heredoc(statement, word))
            copy.heredocs.push_back(*heredoc);
        else
            copy.sources.push_back(std::move(word));
    }
}

InstructionValue build_copy(const Statement& statement, char) {
    Copy copy;
    copy.is_add = statement.keyword == "ADD";
    std::vector<std::string> operands = copy_operands(statement);
    FlagSet flags;
    flags.text("chown", copy.chown)
        .text("chmod", copy.chmod)
        .boolean("link", copy.link)
        .list("exclude", copy.excludes);
    if (copy.is_add)
        flags.text("checksum", copy.checksum)
            .boolean("keep-git-dir", copy.keep_git_dir)
            .boolean("unpack", copy.unpack);
    else
        flags.text("from", copy.from).boolean("parents", copy.parents);
    flags.parse(statement.flags);
    place_operands(statement, std::move(operands), copy);
    return copy;
}

std::vector<KeyValue> build_pairs(const Statement& statement) {
    no_flags(statement);
    if (statement.pairs.empty()) reject(statement.keyword + " requires at least one argument");
    for (std::size_t i = 0; i < statement.pairs.size(); ++i)
        if (statement.pairs[i].key.empty())
            reject_operand(i, statement.keyword + " names can not be blank");
    return statement.pairs;
}

InstructionValue build_env(const Statement& statement, char) {
    return Env{build_pairs(statement), statement.legacy_pair};
}
InstructionValue build_label(const Statement& statement, char) {
    return Label{build_pairs(statement), statement.legacy_pair};
}

InstructionValue build_arg(const Statement& statement, char) {
    require_arguments(statement);
    Arg arg;
    for (std::size_t i = 0; i < statement.args.size(); ++i) {
        const std::string& word = statement.args[i];
        const auto equals = word.find('=');
        if (equals == 0) reject_operand(i, "ARG names can not be blank");
        ArgDeclaration declaration{word.substr(0, equals), std::nullopt};
        if (equals != std::string::npos) declaration.default_value = word.substr(equals + 1);
        arg.declarations.push_back(std::move(declaration));
    }
    return arg;
}

InstructionValue build_workdir(const Statement& statement, char) {
    Workdir workdir{only_argument(statement)};
    no_flags(statement);
    return workdir;
}

InstructionValue build_user(const Statement& statement, char) {
    User user{only_argument(statement)};
    no_flags(statement);
    return user;
}

InstructionValue build_maintainer(const Statement& statement, char) {
    Maintainer maintainer{only_argument(statement)};
    no_flags(statement);
    return maintainer;
}

InstructionValue build_stop_signal(const Statement& statement, char) {
    return StopSignal{only_argument(statement)};
}

InstructionValue build_expose(const Statement& statement, char) {
    require_arguments(statement);
    no_flags(statement);
    Expose expose{statement.args};
    std::sort(expose.ports.begin(), expose.ports.end());
    return expose;
}

InstructionValue build_volume(const Statement& statement, char) {
    require_arguments(statement);
    no_flags(statement);
    Volume volume;
    for (const std::string& arg : statement.args) {
        volume.paths.emplace_back(trim(arg));
        if (volume.paths.back().empty())
            reject_operand(0, "VOLUME specified can not be an empty string");
    }
    return volume;
}

InstructionValue build_cmd(const Statement& statement, char) {
    no_flags(statement);
    return Cmd{build_command(statement)};
}

InstructionValue build_entrypoint(const Statement& statement, char) {
    no_flags(statement);
    return Entrypoint{build_command(statement)};
}

InstructionValue build_shell(const Statement& statement, char) {
    no_flags(statement);
    require_arguments(statement);
    if (!statement.json) reject_operand(0, "SHELL requires the arguments to be in JSON form");
    return Shell{statement.args};
}

// The text is kept for whoever builds on the image; it must be complete, heredoc bodies included.
InstructionValue build_onbuild(const Statement& statement, char) {
    if (!statement.trigger) reject("ONBUILD requires at least one argument");
    no_flags(statement);
    const std::string& inner = statement.trigger->keyword;
    if (inner == "ONBUILD")
        reject_operand(0, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (inner == "FROM" || inner == "MAINTAINER")
        reject_operand(0, inner + " isn't allowed as an ONBUILD trigger");
    std::string_view text = statement.original;
    text.remove_prefix(statement.word.size());
    text.remove_prefix(std::min(text.find_first_not_of(" \t\f\r"), text.size()));
    Onbuild onbuild{std::string(text)};
    for (const Heredoc& heredoc : statement.heredocs)
        onbuild.text.append("\n").append(heredoc.raw_body).append(heredoc.name);
    return onbuild;
}

InstructionValue build_health(const Statement& statement, char) {
    require_arguments(statement);
    return build_healthcheck(statement);
}

struct Builder {
    std::string_view keyword;
    InstructionValue (*build)(const Statement&, char escape);
};

constexpr Builder kBuilders[] = {
    {"RUN", build_run},
    {"COPY", build_copy},
    {"ADD", build_copy},
    {"ENV", build_env},
    {"LABEL", build_label},
    {"ARG", build_arg},
    {"WORKDIR", build_workdir},
    {"USER", build_user},
    {"MAINTAINER", build_maintainer},
    {"STOPSIGNAL", build_stop_signal},
    {"EXPOSE", build_expose},
    {"VOLUME", build_volume},
    {"CMD", build_cmd},
    {"ENTRYPOINT", build_entrypoint},
    {"SHELL", build_shell},
    {"ONBUILD", build_onbuild},
    {"HEALTHCHECK", build_health},
};

bool is_stage_name(std::string_view name) {
    return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
               std::string_view::npos;
}

// A spelling hint in the letter case the user writes in.
std::string suggest_instruction(const Statement& statement) {
    std::string hint = suggest(statement.keyword, instruction_names());
    if (statement.word != lower(statement.word)) return hint;
    constexpr std::string_view kLead = "did you mean ";
    return hint.empty() ? hint : hint.substr(0, kLead.size()) + lower(hint.substr(kLead.size()));
}

}  // namespace

InstructionValue build_instruction(const Statement& statement, char escape) {
    for (const Builder& builder : kBuilders)
        if (builder.keyword == statement.keyword) return builder.build(statement, escape);
    reject("unknown instruction: " + statement.word, suggest_instruction(statement));
}

From build_from(const Statement& statement) {
    From from;
    const auto& args = statement.args;
    if (args.size() == 3 && lower(args[1]) == "as") {
        from.stage_name = lower(args[2]);
        if (!is_stage_name(from.stage_name))
            reject_operand(2, "invalid name for build stage: " + quoted(args[2]) +
                                  ", name can't start with a number or contain symbols");
    } else if (args.size() != 1) {
        reject("FROM requires either one or three arguments");
    }
    from.reference = args[0];
    FlagSet().text("platform", from.platform).parse(statement.flags);
    return from;
}

}  // namespace shale::dockerfile
