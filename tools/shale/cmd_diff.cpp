// shale diff: what changed between two trees.
//
// compare() decides; here its list is narrowed (--only) and shown in one of five ways: a tree for
// people, lines for scripts, JSON for programs, totals, or the changed text files line by line.
// diff(1)'s exit status tells whether anything is left.
#include "command.hpp"
#include "config_diff.hpp"
#include "console.hpp"
#include "content_diff.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "terminal_text.hpp"
#include "tree_argument.hpp"

#include <shale/diff.hpp>
#include <shale/report.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_set>

namespace shale::cli {

namespace {

struct Flags {
    std::string before, after, only, platform;
    std::vector<std::string> ignore;
    bool json = false, ignore_mtime = false, stat = false, lines = false, content = false,
         all = false;
};

struct Totals {
    std::uint64_t added = 0, modified = 0, removed = 0, linked = 0;
    std::uint64_t bytes_before = 0, bytes_after = 0;  // of regular files that are listed
};

// Adds up files of a tree; of several names of one only the first counts.
class ByteCount {
  public:
    explicit ByteCount(const snapshot::Tree& tree) : tree_(tree) {}
    void add(snapshot::NodeId node) {
        if (node == snapshot::kNoNode) return;
        const auto entry = tree_.entry(node);
        if (entry.type != FileType::Regular) return;
        if (entry.link_group == 0 || groups_.insert(entry.link_group).second) total_ += entry.size;
    }
    // A removed directory is one change; its files count all the same.
    void add_subtree(snapshot::NodeId top) {
        for (auto node = top; node < tree_.end(top); ++node)
            add(node);
    }
    std::uint64_t total() const { return total_; }

  private:
    const snapshot::Tree& tree_;
    std::unordered_set<std::uint64_t> groups_;
    std::uint64_t total_ = 0;
};

Totals count(const std::vector<diff::Change>& changes, const snapshot::Tree& before,
             const snapshot::Tree& after) {
    Totals totals;
    ByteCount bytes_before(before), bytes_after(after);
    for (const auto& change : changes) {
        switch (change.kind) {
        case diff::ChangeKind::Added:
            ++totals.added;
            break;
        case diff::ChangeKind::Modified:
            ++totals.modified;
            break;
        case diff::ChangeKind::Removed:
            ++totals.removed;
            bytes_before.add_subtree(change.before);
            continue;
        case diff::ChangeKind::Linked:
            ++totals.linked;
            break;
        }
        bytes_before.add(change.before);
        bytes_after.add(change.after);
    }
    totals.bytes_before = bytes_before.total();
    totals.bytes_after = bytes_after.total();
    return totals;
}

std::string render_totals(const Totals& totals) {
    return fmt::format("{} added, {} modified, {} removed; {} before, {} after\n", totals.added,
                       totals.modified, totals.removed, format_size(totals.bytes_before),
                       format_size(totals.bytes_after));
}

// The config counts only where both are images.
std::string render_stat(const Totals& totals,
                        const std::optional<std::vector<ConfigChange>>& config, bool json) {
    if (!json)
        return render_totals(totals) +
               (config && !config->empty()
                    ? fmt::format("{} fields of the config\n", config->size())
                    : "");
    nlohmann::ordered_json value = {{"added", totals.added},
                                    {"modified", totals.modified},
                                    {"removed", totals.removed},
                                    {"linked", totals.linked},
                                    {"bytesBefore", totals.bytes_before},
                                    {"bytesAfter", totals.bytes_after}};
    if (config) value["config"] = config->size();
    return json_text(value);
}

// Fields of the config first, as objects that have "config" in place of "path".
std::string render_json(const std::string& files, const std::vector<ConfigChange>& config) {
    if (config.empty()) return files;
    std::string out = "[";
    for (const auto& change : config) {
        nlohmann::ordered_json value = {{"kind", !change.before  ? "added"
                                                 : !change.after ? "removed"
                                                                 : "modified"},
                                        {"config", change.field}};
        if (change.before) value["before"] = *change.before;
        if (change.after) value["after"] = *change.after;
        std::string text = json_text(value, -1);
        text.pop_back();
        out += (out.size() == 1 ? "\n" : ",\n") + text;
    }
    const std::string_view rest = std::string_view(files).substr(1);
    return out + (rest == "]\n" ? "\n" : ",") + std::string(rest);
}

// nullopt unless both are images, as wholes.
std::optional<std::vector<ConfigChange>>
config_changes(const TreeArgument& before, const TreeArgument& after, const Flags& flags) {
    const auto is_part = [](const std::string& reference) {  // a layer, or a step
        return reference.find('#') != std::string::npos;
    };
    if (!before.image || !after.image || is_part(flags.before) || is_part(flags.after) ||
        !flags.only.empty() || std::ranges::find(flags.ignore, "config") != flags.ignore.end())
        return std::nullopt;
    return compare_configs(before.image->config, after.image->config);
}

report::Ignored ignored_by(const Flags& flags) {
    report::Ignored ignored;
    ignored.fractions = true;
    ignored.mtime = flags.ignore_mtime;
    for (const auto& what : flags.ignore) {
        ignored.mtime |= what == "mtime";
        ignored.mode |= what == "mode";
        ignored.owner |= what == "owner";
    }
    return ignored;
}

// A typing error in --only must not look like "nothing changed".
void require_path(const std::string& path, const TreeArgument& before, const TreeArgument& after) {
    if (before.tree->find(path) == snapshot::kNoNode && after.tree->find(path) == snapshot::kNoNode)
        fail(ErrorKind::NotFound, "--only: neither tree has '" + path + "'");
}

std::string render_tree(const std::vector<diff::Change>& changes, const TreeArgument& before,
                        const TreeArgument& after, const report::Ignored& ignored, bool all) {
    if (changes.empty()) return {};
    report::Style style;
    style.colour = wants_colour(STDOUT_FILENO);
    style.fold = !all;
    return report::to_tree_text(changes, *before.tree, *after.tree, ignored, style) +
           render_totals(count(changes, *before.tree, *after.tree));
}

// File contents may hold anything; on a terminal they are made harmless line by line.
void print_content(const std::string& text) {
    if (!is_terminal(STDOUT_FILENO)) return print_result(text);
    std::string safe;
    LineAssembler lines([&](const std::string& line) { safe += line + '\n'; });
    lines.feed(text);
    lines.finish();
    print_result(safe);
}

// Each is a form of its own; a flag that does nothing would be taken for one that found nothing.
void require_one_form(const Flags& flags) {
    if (flags.content + flags.lines + (flags.json || flags.stat) > 1)
        fail(ErrorKind::Invalid,
             "--content, --lines and --json are one or the other; --stat goes with --json only");
}

int run(const Flags& flags, Workspace& workspace) {
    require_one_form(flags);
    const auto platform = chosen_platform(flags.platform);
    const auto before = open_tree_argument(workspace, flags.before, platform);
    const auto after = open_tree_argument(workspace, flags.after, platform);
    if (!flags.only.empty()) require_path(flags.only, before, after);
    const report::Ignored ignored = ignored_by(flags);
    diff::Options options;
    options.ignore_mtime = ignored.mtime;
    const auto changes =
        report::only_below(report::without(diff::compare(*before.tree, *after.tree, options),
                                           *before.tree, *after.tree, ignored),
                           *after.tree, flags.only);
    const auto config = config_changes(before, after, flags);
    const auto fields = config.value_or(std::vector<ConfigChange>());
    if (flags.stat)
        print_result(render_stat(count(changes, *before.tree, *after.tree), config, flags.json));
    else if (flags.json)
        print_result(
            render_json(report::to_json(changes, *before.tree, *after.tree, ignored), fields));
    else if (flags.content)
        print_content(content_diff(changes, before, after));
    else if (flags.lines)
        print_result(to_lines(fields) + diff::to_text(changes, *after.tree));
    else
        print_result(to_text(fields) + render_tree(changes, before, after, ignored, flags.all));
    return changes.empty() && fields.empty() ? kOk : kDifferent;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    constexpr const char* kMeaning = "Directory, snapshot or tar file, image, or scratch";
    required(add_argument(app, "A", flags->before, kMeaning));
    required(add_argument(app, "B", flags->after, kMeaning));
    add_values(app, "--ignore", flags->ignore, "mtime|mode|owner|config",
               "Entries that differ only in this are equal (may be repeated); config: what "
               "images tell a runtime");
    hide(add_switch(app, "--ignore-mtime", flags->ignore_mtime, "Same as --ignore mtime"));
    add_platform_flag(app, flags->platform);
    add_value(app, "--only", flags->only, "PATH", "Only changes at PATH or below it");
    add_switch(app, "--all", flags->all, "List what is in added directories, too");
    add_switch(app, "--lines", flags->lines, "One line per change, for scripts: a letter, a path");
    add_switch(app, "--content", flags->content, "Print changed text files as a unified diff");
    add_switch(app, "--stat", flags->stat, "Print totals instead of paths");
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& diff_command() {
    static const Command command = {
        .name = "diff",
        .group = "Engine alone",
        .summary = "Show what changed from tree A to tree B",
        .usage = "[OPTIONS] A B",
        .details = "Compares contents, types, modes, owners, times, extended attributes, hardlink "
                   "groups and device numbers. Prints the changed entries as a tree, each with a "
                   "letter (A added, M modified, D removed with everything below, L unchanged but "
                   "linked differently), its size, and why it counts as modified: content, mode, "
                   "owner, xattr, time. An added directory is summed up in one line. Times are "
                   "compared by the second where one of them has no fraction, as layers and most "
                   "archives have none.\n\n"
                   "Of two images the configs are compared as well: user, command, environment, "
                   "labels and whatever else a runtime is told, each a line with the letter C; "
                   "not the history, nor when they were made.\n\n"
                   "An existing path wins over an image of the same name. \"scratch\" is the empty "
                   "tree. A tar file may be compressed; whiteouts in it remove, as in a layer.\n\n"
                   "The exit status is that of diff(1): 0 if the trees are equal, 1 if they "
                   "differ, 2 if there was trouble.",
        .examples = {{"shale diff /srv/app.old /srv/app", "Compare two directories"},
                     {"shale diff app:1 app:2 --stat", "Compare two images, totals only"},
                     {"shale diff app:1 app:2 --only etc --content",
                      "What changed in the configuration, line by line"},
                     {"shale diff --ignore mtime --ignore owner rootfs layer.tar.gz",
                      "Compare a directory with an archive of it"},
                     {"shale diff scratch debian:bookworm --json", "List an image as JSON"}},
        .declare = declare,
        .failure_code = kTrouble,
    };
    return command;
}

}  // namespace shale::cli
