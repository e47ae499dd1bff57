// shale diff: what changed between two trees.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "tree_argument.hpp"

#include <shale/diff.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::string before, after;
    bool json = false, ignore_mtime = false, stat = false;
};

struct Totals {
    std::uint64_t added = 0, modified = 0, removed = 0, linked = 0;
    std::uint64_t bytes_before = 0, bytes_after = 0;  // of regular files that are listed
};

std::uint64_t file_bytes(const snapshot::Tree& tree, snapshot::NodeId node) {
    if (node == snapshot::kNoNode) return 0;
    const auto entry = tree.entry(node);
    return entry.type == FileType::Regular ? entry.size : 0;
}

// A removed directory is one change; its files count all the same.
std::uint64_t subtree_bytes(const snapshot::Tree& tree, snapshot::NodeId node) {
    std::uint64_t total = 0;
    for (auto at = node; at < tree.end(node); ++at)
        total += file_bytes(tree, at);
    return total;
}

Totals count(const std::vector<diff::Change>& changes, const snapshot::Tree& before,
             const snapshot::Tree& after) {
    Totals totals;
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
            totals.bytes_before += subtree_bytes(before, change.before);
            continue;
        case diff::ChangeKind::Linked:
            ++totals.linked;
            break;
        }
        totals.bytes_before += file_bytes(before, change.before);
        totals.bytes_after += file_bytes(after, change.after);
    }
    return totals;
}

std::string render_totals(const Totals& totals, bool json) {
    if (json) {
        const nlohmann::ordered_json value = {{"added", totals.added},
                                              {"modified", totals.modified},
                                              {"removed", totals.removed},
                                              {"linked", totals.linked},
                                              {"bytesBefore", totals.bytes_before},
                                              {"bytesAfter", totals.bytes_after}};
        return value.dump(2) + "\n";
    }
    return fmt::format("{} added, {} modified, {} removed; {} before, {} after\n", totals.added,
                       totals.modified, totals.removed, format_size(totals.bytes_before),
                       format_size(totals.bytes_after));
}

int run(const Flags& flags, Workspace& workspace) {
    const auto before = open_tree_argument(workspace, flags.before);
    const auto after = open_tree_argument(workspace, flags.after);
    diff::Options options;
    options.ignore_mtime = flags.ignore_mtime;
    const auto changes = diff::compare(*before.tree, *after.tree, options);
    if (flags.stat)
        print_result(render_totals(count(changes, *before.tree, *after.tree), flags.json));
    else if (flags.json)
        print_result(diff::to_json(changes, *before.tree, *after.tree));
    else
        print_result(diff::to_text(changes));
    return changes.empty() ? kOk : kDifferent;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    constexpr const char* kMeaning = "Directory, snapshot file, image of the store, or scratch";
    add_argument(app, "A", flags->before, kMeaning)->required();
    add_argument(app, "B", flags->after, kMeaning)->required();
    add_switch(app, "--ignore-mtime", flags->ignore_mtime,
               "Entries that differ only in their modification time are equal");
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
                   "groups and device numbers. Prints one line per change: A for added, M for "
                   "modified, D for removed with everything below.\n\n"
                   "An existing path wins over an image of the same name. \"scratch\" is the empty "
                   "tree.\n\n"
                   "The exit status is that of diff(1): 0 if the trees are equal, 1 if they "
                   "differ, 2 if there was trouble.",
        .examples = {{"shale diff /srv/app.old /srv/app", "Compare two directories"},
                     {"shale diff app:1 app:2 --stat", "Compare two images, totals only"},
                     {"shale diff scratch debian:bookworm --json", "List an image as JSON"}},
        .declare = declare,
        .failure_code = kTrouble,
    };
    return command;
}

}  // namespace shale::cli
