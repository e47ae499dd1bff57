// shale snapshot: a directory's tree as one file.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>
#include <shale/snapshot.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::string directory, output, exclude_from;
    bool stats = false, json = false;
};

// The verdict for an excluded directory, found by walking down to it: whether anything below can
// still be included. Only excluded directories pay for this.
walk::Decision decide_directory(const dockerfile::IgnoreMatcher& matcher, std::string_view path) {
    dockerfile::IgnoreMatcher::State parent, child;
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
        matcher.decide(path.substr(0, slash), parent, &child);
        parent = std::move(child);
        child = {};
    }
    return matcher.decide(path, parent).may_prune ? walk::Decision::Prune : walk::Decision::Skip;
}

// A pattern file as for a build context. Directories that only an exception ("!") can reach into
// are looked through; others that are excluded are never opened.
std::function<walk::Decision(std::string_view, bool)> exclude_filter(const std::string& path) {
    auto matcher = std::make_shared<const dockerfile::IgnoreMatcher>(in_context(
        [&] { return path; }, [&] { return dockerfile::IgnoreMatcher::parse(read_file(path)); }));
    return [matcher](std::string_view entry, bool is_directory) {
        if (entry.empty() || !matcher->is_excluded(entry)) return walk::Decision::Include;
        return is_directory ? decide_directory(*matcher, entry) : walk::Decision::Prune;
    };
}

struct Scanned {
    snapshot::Tree tree;
    snapshot::ScanStats stats;
    double seconds = 0;
};

Scanned scan(const Flags& flags) {
    snapshot::ScanOptions options;
    if (!flags.exclude_from.empty()) options.walk.filter = exclude_filter(flags.exclude_from);
    snapshot::ScanStats stats;
    const auto began = std::chrono::steady_clock::now();
    auto tree = snapshot::scan(flags.directory, options, &stats);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
    return {std::move(tree), stats, passed.count()};
}

std::string as_json(const Scanned& scanned, std::size_t file_bytes) {
    const auto& stats = scanned.stats;
    const nlohmann::ordered_json value = {{"digest", scanned.tree.digest().str()},
                                          {"entries", scanned.tree.size()},
                                          {"fileBytes", file_bytes},
                                          {"directoriesOpened", stats.walk.directories_opened},
                                          {"statCalls", stats.walk.stat_calls},
                                          {"xattrCalls", stats.walk.xattr_calls},
                                          {"filesHashed", stats.files_hashed},
                                          {"bytesHashed", stats.bytes_hashed},
                                          {"engine", stats.engine},
                                          {"seconds", scanned.seconds}};
    return value.dump(2) + "\n";
}

void print_stats(const Scanned& scanned) {
    const auto& stats = scanned.stats;
    print_note(fmt::format("{} entries in {} directories, {} files hashed ({}) with {} in {:.3f} s",
                           scanned.tree.size(), stats.walk.directories_opened, stats.files_hashed,
                           format_size(stats.bytes_hashed), stats.engine, scanned.seconds));
}

int run(const Flags& flags) {
    const Scanned scanned = scan(flags);
    const auto bytes = scanned.tree.serialise();
    OutputFile output(flags.output);
    output.write(as_bytes(bytes));
    output.commit();
    if (flags.stats) print_stats(scanned);
    if (output.is_stdout()) return kOk;
    print_result(flags.json ? as_json(scanned, bytes.size()) : scanned.tree.digest().str() + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "DIR", flags->directory, "Directory to take the snapshot of")->required();
    add_value(app, "-o,--output", flags->output, "FILE", "Where to write it; - is standard output")
        ->required();
    add_value(app, "--exclude-from", flags->exclude_from, "FILE",
              "Leave out what the patterns in FILE match (the format of .dockerignore)");
    add_switch(app, "--stats", flags->stats, "Report what the walk and the hashing did");
    add_switch(app, "--json", flags->json, "Print digest and numbers as JSON");
    return [flags](Workspace&) { return run(*flags); };
}

}  // namespace

const Command& snapshot_command() {
    static const Command command = {
        .name = "snapshot",
        .group = "Engine alone",
        .summary = "Write the tree of a directory to one file",
        .usage = "[OPTIONS] DIR -o FILE",
        .details = "Walks DIR, hashes every regular file, and writes all names, types, modes, "
                   "owners, times, extended attributes, hardlink groups and content digests to one "
                   "small file. The file holds no contents. diff and layer take it in place of the "
                   "directory.\n\n"
                   "Prints the digest of the tree: equal digests mean equal trees.",
        .examples = {{"shale snapshot /srv/app -o before.snap", "Remember a directory"},
                     {"shale diff before.snap /srv/app", "See what changed since"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
