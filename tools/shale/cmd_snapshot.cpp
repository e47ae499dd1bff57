// shale snapshot: a directory's tree as one file.
//
// Two things make the second snapshot of a directory cheap, and neither changes what it says: a
// stat cache, so that files that did not change are not opened, and `shale watch`, so that what did
// not change is not even looked at. Both live in the user's cache directory, never in a store.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>
#include <shale/watch.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::string directory, output, exclude_from, cache;
    bool stats = false, json = false, no_cache = false;
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
    bool incremental = false;
    std::size_t looked_at = 0;  // paths a watcher named
    std::string why_full;
};

// Digests of files by what stat says of them, so that a snapshot taken again opens only what has
// changed. Beside the user's other caches: it is no part of a store and needs none.
std::string cache_directory() {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    if (cache && *cache == '/') return join_path(cache, "shale");
    const char* home = std::getenv("HOME");
    return home && *home == '/' ? join_path(home, ".cache/shale") : std::string();
}

std::string cache_path(const Flags& flags) {
    if (!flags.cache.empty()) return flags.cache;
    const std::string directory = cache_directory();
    return directory.empty() ? directory : join_path(directory, "stat-cache");
}

std::unique_ptr<snapshot::StatCache> open_cache(const Flags& flags) {
    const std::string path = flags.no_cache ? "" : cache_path(flags);
    if (path.empty()) return nullptr;
    return std::make_unique<snapshot::StatCache>(path);
}

// A cache that cannot be kept costs time, not a result.
void save_cache(const Flags& flags, snapshot::StatCache& cache) {
    const std::string path = cache_path(flags);
    try {
        if (const auto slash = path.rfind('/'); flags.cache.empty() && slash != std::string::npos)
            make_directories(path.substr(0, slash), 0700);
        cache.save();
    } catch (const Error& error) {
        print_note(std::string("the digests of files are not remembered: ") + error.what());
    }
}

Scanned scan(const Flags& flags, snapshot::StatCache* cache) {
    snapshot::ScanOptions options;
    options.stat_cache = cache;
    options.walk.filter_is_concurrent = true;
    if (!flags.exclude_from.empty()) options.walk.filter = exclude_filter(flags.exclude_from);
    snapshot::ScanStats stats;
    const auto began = std::chrono::steady_clock::now();
    auto result =
        flags.no_cache || cache_directory().empty()
            ? watch::ScanResult{snapshot::scan(flags.directory, options, &stats), false,
                                "--no-cache", 0}
            : watch::scan(flags.directory, join_path(cache_directory(), "watch"), options, &stats);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
    return {std::move(result.tree), stats, passed.count(), result.incremental, result.looked_at,
            std::move(result.why)};
}

std::string as_json(const Scanned& scanned, std::size_t file_bytes) {
    const auto& stats = scanned.stats;
    const nlohmann::ordered_json value = {{"digest", scanned.tree.digest().str()},
                                          {"entries", scanned.tree.size()},
                                          {"fileBytes", file_bytes},
                                          {"directoriesOpened", stats.walk.directories_opened},
                                          {"statCalls", stats.walk.stat_calls},
                                          {"xattrCalls", stats.walk.xattr_calls},
                                          {"walkThreads", stats.walk_engine.threads},
                                          {"cold", stats.walk_engine.is_cold},
                                          {"incremental", scanned.incremental},
                                          {"filesHashed", stats.files_hashed},
                                          {"filesFromCache", stats.files_from_cache},
                                          {"bytesHashed", stats.bytes_hashed},
                                          {"engine", stats.engine},
                                          {"seconds", scanned.seconds}};
    return json_text(value);
}

void print_stats(const Scanned& scanned) {
    const auto& stats = scanned.stats;
    print_note(fmt::format("{} entries in {} directories in {:.3f} s", scanned.tree.size(),
                           stats.walk.directories_opened, scanned.seconds));
    if (scanned.incremental)
        print_note(fmt::format("watched: only {} paths were looked at", scanned.looked_at));
    else
        print_note("all was walked: " + scanned.why_full);
    const auto& walked = stats.walk_engine;
    print_note(fmt::format("metadata: {} stat calls, {} xattr calls, by {} with {} threads; {} of "
                           "{} directories waited for the disk ({})",
                           stats.walk.stat_calls, stats.walk.xattr_calls, walked.engine,
                           walked.threads, walked.directories_blocked,
                           stats.walk.directories_opened, walked.is_cold ? "cold" : "warm"));
    print_note(fmt::format("contents: {} files hashed ({}) with {}, {} known from the cache",
                           stats.files_hashed, format_size(stats.bytes_hashed), stats.engine,
                           stats.files_from_cache));
}

// An unchanged directory leaves its snapshot as it is, but for the time, which tells programs like
// make(1) that it is up to date. Returns the size of the file.
std::size_t write_output(const std::string& path, const snapshot::Tree& tree) {
    OutputFile output(path);
    struct stat status {};
    if (output.replaces_file() && ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        snapshot::is_file_of(path, tree) && ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0)
        return static_cast<std::size_t>(status.st_size);
    std::size_t bytes = 0;
    snapshot::write_tree(tree, [&](Bytes piece) {
        output.write(piece);
        bytes += piece.size();
    });
    output.commit();
    return bytes;
}

int run(const Flags& flags) {
    open_file(flags.directory, O_RDONLY | O_DIRECTORY);  // or it says so itself
    const auto cache = open_cache(flags);
    const Scanned scanned = scan(flags, cache.get());
    const auto bytes = write_output(flags.output, scanned.tree);
    if (cache) save_cache(flags, *cache);
    if (flags.stats) print_stats(scanned);
    if (flags.output == "-") return kOk;
    print_result(flags.json ? as_json(scanned, bytes) : scanned.tree.digest().str() + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "DIR", flags->directory, "Directory to take the snapshot of"));
    required(add_value(app, "-o,--output", flags->output, "FILE",
                       "Where to write it; - is standard output"));
    add_value(app, "--exclude-from", flags->exclude_from, "FILE",
              "Leave out what the patterns in FILE match (the format of .dockerignore)");
    add_value(
        app, "--cache", flags->cache, "FILE",
        "Where digests of unchanged files are remembered (default ~/.cache/shale/stat-cache)");
    add_switch(app, "--no-cache", flags->no_cache, "Read every file, and remember nothing");
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
        .details =
            "Walks DIR, hashes every regular file, and writes all names, types, modes, "
            "owners, times, extended attributes, hardlink groups and content digests to one "
            "small file. The file holds no contents. diff and layer take it in place of the "
            "directory.\n\n"
            "A file whose device, inode, size, mtime and ctime are those of an earlier "
            "snapshot is not opened; docs/formats/stat-cache.md says when that is safe. While "
            "`shale watch DIR` runs, only what changed since the last snapshot is looked "
            "at.\n\n"
            "Prints the digest of the tree: equal digests mean equal trees.",
        .examples = {{"shale snapshot /srv/app -o before.snap", "Remember a directory"},
                     {"shale diff before.snap /srv/app", "See what changed since"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
