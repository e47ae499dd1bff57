#include "flags.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <charconv>

namespace shale::cli {

namespace {

std::vector<std::string> split_choices(const std::string& metavar) {
    std::vector<std::string> words;
    if (metavar.find('|') == std::string::npos) return words;
    std::size_t at = 0;
    while (at <= metavar.size()) {
        const auto bar = std::min(metavar.find('|', at), metavar.size());
        words.push_back(metavar.substr(at, bar - at));
        at = bar + 1;
    }
    return words;
}

}  // namespace

void restrict_to(CLI::Option* option, const std::string& choices, bool or_empty) {
    const auto words = split_choices(choices);
    if (words.empty()) return;
    option->check([words, choices, or_empty](const std::string& word) {
        if (or_empty && word.empty()) return std::string();
        const bool known = std::find(words.begin(), words.end(), word) != words.end();
        return known ? std::string() : "\"" + word + "\" is not one of " + choices;
    });
}

CLI::Option* add_value(CLI::App& app, const std::string& names, std::string& into,
                       const std::string& metavar, const std::string& meaning) {
    const bool is_flag = names.starts_with('-');
    const bool is_choice = !split_choices(metavar).empty();
    auto* option = app.add_option(
        names,
        [&into, is_flag, is_choice](const CLI::results_t& results) {
            const auto& word = results.back();
            if (!word.empty() || !is_flag || !is_choice) into = word;
            return true;
        },
        meaning);
    option->type_name(metavar)->type_size(1)->expected(1);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    restrict_to(option, metavar, is_flag);
    return option;
}

CLI::Option* add_values(CLI::App& app, const std::string& names, std::vector<std::string>& into,
                        const std::string& metavar, const std::string& meaning) {
    auto* option = app.add_option(
        names,
        [&into, is_flag = names.starts_with('-')](const CLI::results_t& results) {
            into = results;
            if (is_flag) std::erase(into, "");
            return true;
        },
        meaning);
    option->type_name(metavar)->type_size(1)->expected(1);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
    restrict_to(option, metavar, names.starts_with('-'));
    return option;
}

CLI::Option* add_number(CLI::App& app, const std::string& names, std::optional<int>& into,
                        const std::string& meaning) {
    auto* option = app.add_option(
        names,
        [&into](const CLI::results_t& results) {
            const auto& text = results.back();
            if (text.empty()) return true;
            int value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (error != std::errc() || end != text.data() + text.size()) return false;
            into = value;
            return true;
        },
        meaning);
    option->type_name("N")->type_size(1)->expected(1);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    return option;
}

CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& into,
                        const std::string& meaning) {
    return app.add_flag(names, into, meaning);
}

CLI::Option* add_percent(CLI::App& app, const std::string& name, int& into,
                         const std::string& meaning) {
    return app.add_flag(name + "{100}", into, meaning)->check(CLI::Range(1, 100));
}

CLI::Option* add_argument(CLI::App& app, const std::string& name, std::string& into,
                          const std::string& meaning) {
    return add_value(app, name, into, "", meaning);
}

CLI::Option* add_arguments(CLI::App& app, const std::string& name, std::vector<std::string>& into,
                           const std::string& meaning) {
    auto* option = app.add_option(
        name,
        [&into](const CLI::results_t& results) {
            into = results;
            return true;
        },
        meaning);
    option->type_name("")->type_size(1)->expected(1, CLI::detail::expected_max_vector_size);
    // Without it CLI11 takes only as many as must be there.
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args();
    return option;
}

namespace {

const CLI::Option* short_option(const CLI::App& app, char letter) {
    return app.get_option_no_throw(std::string{'-', letter});
}

// Of "-qt=app": "-q" goes to `out`, "-t=app" is returned. Whatever is not letters of switches
// before one of another flag stays as it is.
std::string unbundled(const std::string& word, const CLI::App& app, std::vector<std::string>& out) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals < 3 || word[1] == '-') return word;
    const auto last = equals - 1;
    for (std::size_t at = 1; at <= last; ++at) {
        const auto* option = short_option(app, word[at]);
        if (!option || (at < last && option->get_items_expected_max() > 0)) return word;
    }
    for (std::size_t at = 1; at < last; ++at)
        out.push_back(std::string{'-', word[at]});
    return "-" + word.substr(last);
}

}  // namespace

std::vector<std::string> spelled_out(const std::vector<std::string>& words, const CLI::App& app) {
    std::vector<std::string> out;
    for (auto at = words.begin(); at != words.end(); ++at) {
        if (*at == "--") {  // the rest are no flags
            out.insert(out.end(), at, words.end());
            break;
        }
        if (at->size() < 2 || at->front() != '-') {
            out.push_back(*at);
            continue;
        }
        const std::string word = unbundled(*at, app, out);
        const auto equals = word.find('=');
        const auto name = word.substr(0, equals);
        const auto* option = app.get_option_no_throw(name);
        if (!option) {
            out.push_back(word);
        } else if (equals == std::string::npos) {
            out.push_back(word);
            const bool takes_next = option->get_items_expected_min() > 0;
            if (takes_next && at + 1 != words.end()) out.push_back(*++at);
        } else if (equals + 1 == word.size() && option->get_items_expected_max() > 0) {
            out.push_back(name);
            out.emplace_back();
        } else if (name[1] != '-' && !option->get_lnames().empty()) {
            out.push_back("--" + option->get_lnames().front() + word.substr(equals));
        } else {
            out.push_back(word);
        }
    }
    return out;
}

CLI::Option* required(CLI::Option* option) {
    return option->required();
}

void add_refused(CLI::App& app, const std::string& name, const std::string& accepted) {
    auto* option = app.add_option(
        name,
        [name, accepted](const CLI::results_t& words) -> bool {
            if (!accepted.empty() && words.back() == accepted) return true;
            throw CLI::ValidationError(name + (accepted.empty() ? "" : " " + words.back()) +
                                       " is not implemented yet");
        },
        "Not implemented");
    hide(option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast));
}

CLI::Option* hide(CLI::Option* option) {
    return option->group("");
}

void add_globals(CLI::App& app, Globals& globals, bool with_version) {
    const std::string group(kGlobalGroup);
    app.set_help_flag();  // ours knows the manual's words
    add_value(app, "--root", globals.root, "DIR",
              "Directory of the store (default: $SHALE_ROOT, else /var/lib/shale for root, else "
              "$XDG_DATA_HOME/shale)")
        ->group(group);
    add_switch(app, "-D,--debug", globals.debug, "Log what is being done, in detail")->group(group);
    add_switch(app, "-h,--help", globals.help, "Show help and exit")->group(group);
    if (with_version)
        add_switch(app, "-v,--version", globals.version, "Show the version and exit")->group(group);
}

std::vector<FlagRow> flag_rows(const CLI::App& app) {
    std::vector<FlagRow> rows;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional() || option->get_group().empty()) continue;
        FlagRow row;
        for (const auto& name : option->get_snames())
            row.names.push_back("-" + name);
        for (const auto& name : option->get_lnames())
            row.names.push_back("--" + name);
        const bool takes_value = option->get_items_expected_max() > 0;
        if (takes_value) row.metavar = option->get_type_name();
        row.choices = split_choices(row.metavar);
        row.meaning = option->get_description();
        row.repeatable =
            takes_value && option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
        row.global = option->get_group() == kGlobalGroup;
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<ArgumentRow> argument_rows(const CLI::App& app) {
    std::vector<ArgumentRow> rows;
    for (const CLI::Option* option : app.get_options()) {
        if (!option->get_positional() || option->get_group().empty()) continue;
        rows.push_back({option->get_name(true), option->get_description()});
    }
    return rows;
}

std::vector<std::string> long_flag_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const auto& row : flag_rows(app))
        for (const auto& name : row.names)
            if (name.starts_with("--")) names.push_back(name);
    return names;
}

}  // namespace shale::cli
