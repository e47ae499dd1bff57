// Declaring flags on a CLI::App, and reading them back as rows for help, manuals and completions.
//
// The wrappers exist because CLI11's defaults differ from what users of docker expect: a repeatable
// flag must take exactly one value per use (`--build-arg A=1 .` must not swallow the context), the
// last use of a single-valued flag wins, and a choice is checked against the words shown in help.
// An empty value, as scripts write with a variable that is unset, leaves a number, a choice or a
// list as it was.
// CLI11 takes seconds to compile, so only those include it who parse.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace shale::cli {

// `names` as CLI11 has them: "-t,--tag". `metavar` is shown in help; a metavar of words separated
// by
// '|' ("auto|plain") allows only these words.
CLI::Option* add_value(CLI::App& app, const std::string& names, std::string& into,
                       const std::string& metavar, const std::string& meaning);
CLI::Option* add_values(CLI::App& app, const std::string& names, std::vector<std::string>& into,
                        const std::string& metavar, const std::string& meaning);
// Whole numbers only; anything else is a usage error naming the flag.
CLI::Option* add_number(CLI::App& app, const std::string& names, std::optional<int>& into,
                        const std::string& meaning);
CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& into,
                        const std::string& meaning);
// A switch that means 100, or another whole percentage from 1 behind "=": what follows it as a word
// of its own is somebody else's.
CLI::Option* add_percent(CLI::App& app, const std::string& name, int& into,
                         const std::string& meaning);
CLI::Option* add_argument(CLI::App& app, const std::string& name, std::string& into,
                          const std::string& meaning);
CLI::Option* add_arguments(CLI::App& app, const std::string& name, std::vector<std::string>& into,
                           const std::string& meaning);

// Allows only the words of `choices`, which '|' separates; a text without one restricts nothing.
void restrict_to(CLI::Option* option, const std::string& choices, bool or_empty = false);

// The words as CLI11 understands them. It does not know that "-t=app" gives -t a value, nor that
// "--target=" gives one that is empty.
std::vector<std::string> spelled_out(const std::vector<std::string>& words, const CLI::App& app);

// An argument that must be there.
CLI::Option* required(CLI::Option* option);

// A flag that is known and not implemented: hidden, and a usage error that says so when it is used
// with another value than `accepted`.
void add_refused(CLI::App& app, const std::string& name, const std::string& accepted);

// Accepted, yet absent from help: group "" in CLI11's terms.
CLI::Option* hide(CLI::Option* option);

inline constexpr std::string_view kGlobalGroup = "Global options";

struct Globals {
    std::string root;  // empty: the store's default
    bool debug = false;
    bool help = false;
    bool version = false;
    std::vector<std::string> rest;  // see Command::takes_command_line
};
// `with_version` is for the program itself; commands share the rest.
void add_globals(CLI::App& app, Globals& globals, bool with_version);

struct FlagRow {
    std::vector<std::string> names;  // "-t", "--tag"
    std::string metavar;             // empty for a switch
    std::vector<std::string> choices;
    std::string meaning;
    bool repeatable = false;
    bool global = false;
};
struct ArgumentRow {
    std::string name;
    std::string meaning;
};
std::vector<FlagRow> flag_rows(const CLI::App& app);
std::vector<ArgumentRow> argument_rows(const CLI::App& app);
std::vector<std::string> long_flag_names(const CLI::App& app);  // "--tag", hidden ones left out

}  // namespace shale::cli
