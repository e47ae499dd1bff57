// What a command of the program is: words for people, flags, and the function that does it.
//
// One Command describes one verb completely. Its flags are declared on a CLI::App, and that App is
// the only flag table there is: parsing, --help, the manual pages and the shell completions all
// read it, so they cannot disagree.
#pragma once

#include "exit_codes.hpp"

#include <functional>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace shale::cli {

class Workspace;

// Runs the parsed command; the return value is the exit status.
using Run = std::function<int(Workspace&)>;

struct Example {
    std::string_view line;
    std::string_view meaning;
};

struct Command {
    std::string_view name;
    std::string_view group;    // heading in the overview: "Build", "Images", ...
    std::string_view summary;  // one line, imperative, no full stop
    std::string_view usage;    // what follows the name: "[OPTIONS] CONTEXT"
    // Paragraphs separated by one empty line; lines inside a paragraph are refilled.
    std::string_view details;
    std::vector<Example> examples;
    // Declares the flags; what it returns keeps the parsed values alive and is called at most once.
    Run (*declare)(CLI::App& app);
    // Exit status when the command throws.
    int failure_code = kFailure;
    bool hidden = false;
    // What stands behind "--" is somebody else's command line: it goes to Globals::rest unparsed.
    bool takes_command_line = false;
};

// All commands, in the order of the overview.
const std::vector<const Command*>& commands();
const Command* find_command(std::string_view name);

// One per file cmd_<name>.cpp.
const Command& apply_command();
const Command& bench_command();
const Command& build_command();
const Command& builds_command();
const Command& cache_mount_command();
const Command& cat_command();
const Command& commit_command();
const Command& completion_command();
const Command& cp_command();
const Command& diff_command();
const Command& dockerfile_command();
const Command& du_command();
const Command& help_command();
const Command& history_command();
const Command& images_command();
const Command& inspect_command();
const Command& layer_command();
const Command& load_command();
const Command& login_command();
const Command& logout_command();
const Command& man_command();
const Command& mount_command();
const Command& mounts_command();
const Command& prune_command();
const Command& pull_command();
const Command& push_command();
const Command& rm_command();
const Command& save_command();
const Command& shell_command();
const Command& snapshot_command();
const Command& tag_command();
const Command& umount_command();
const Command& why_command();

}  // namespace shale::cli
