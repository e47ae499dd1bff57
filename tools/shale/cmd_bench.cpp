// shale bench: the engine timed on a tree of the user's own.
//
// Each kind of work (walk, snapshot, diff) is one Series: it runs several times and reports the
// median of wall and of CPU time, with what it handled, so that a run can be set beside find, mtree
// or rsync on the same tree. The page cache is left alone: cold figures are for bench/.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "table.hpp"

#include <shale/base.hpp>
#include <shale/diff.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>
#include <shale/walk.hpp>
#include <shale/walk_engine.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <memory>

namespace shale::cli {

namespace {

struct Flags {
    std::string what, engine;
    std::vector<std::string> paths;
    std::optional<int> runs, threads;
    bool json = false, no_xattrs = false;
};

struct Cost {
    double wall = 0, cpu = 0;  // seconds
};

double seconds_of(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

template <typename Body>
Cost measure(const Body& body) {
    const double cpu = cpu_seconds();
    const auto began = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - began;
    return {wall.count(), cpu_seconds() - cpu};
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// One kind of work, done several times.
struct Series {
    std::string name;
    std::uint64_t items = 0, bytes = 0;  // of one run
    std::string note;
    std::vector<Cost> costs;
    Cost typical() const {
        std::vector<double> wall, cpu;
        for (const Cost& cost : costs) {
            wall.push_back(cost.wall);
            cpu.push_back(cost.cpu);
        }
        return {median(wall), median(cpu)};
    }
};

class Bench {
  public:
    explicit Bench(const Flags& flags)
        : flags_(flags), runs_(static_cast<unsigned>(std::max(1, flags.runs.value_or(3)))) {
        if (flags.threads && *flags.threads < 1)
            fail(ErrorKind::Invalid, "--threads must be at least 1");
    }

    std::vector<Series> run() {
        if (flags_.what == "walk") return {walk(path(0, 1))};
        if (flags_.what == "snapshot") return snapshot(path(0, 1));
        return diff(path(0, 2), path(1, 2));
    }

  private:
    const std::string& path(std::size_t at, std::size_t wanted) const {
        if (flags_.paths.size() != wanted)
            fail(ErrorKind::Invalid, fmt::format("bench {} takes {} path{}", flags_.what, wanted,
                                                 wanted == 1 ? "" : "s"));
        return flags_.paths[at];
    }
    walk::Options walk_options() const {
        walk::Options options;
        options.read_xattrs = !flags_.no_xattrs;
        if (flags_.threads) options.threads = static_cast<unsigned>(*flags_.threads);
        return options;
    }
    template <typename Body>
    Series repeat(const char* name, const Body& body) const {
        Series series{name, 0, 0, {}, {}};
        for (unsigned at = 0; at < runs_; ++at)
            series.costs.push_back(measure([&] { body(series); }));
        return series;
    }

    Series walk(const std::string& root) const {
        return repeat("walk", [&](Series& series) {
            std::uint64_t bytes = 0;
            walk::EngineOptions engine;
            if (flags_.engine == "io_uring") engine.engine = walk::Engine::Uring;
            walk::EngineReport report;
            const auto stats = walk::walk_with(
                root, walk_options(), engine,
                [&](const walk::Entry& entry) { bytes += entry.size; }, &report);
            series.items = stats.entries;
            series.bytes = bytes;
            series.note = fmt::format("{}, {} with {} threads, {} stat calls, {} xattr calls",
                                      report.is_cold ? "cold" : "warm", report.engine,
                                      report.threads, stats.stat_calls, stats.xattr_calls);
        });
    }

    // First without any knowledge, then again with a stat cache that knows everything.
    std::vector<Series> snapshot(const std::string& root) const {
        snapshot::ScanOptions options;
        options.walk = walk_options();
        options.io.kind = flags_.engine == "io_uring"  ? io::EngineKind::Uring
                          : flags_.engine == "threads" ? io::EngineKind::Threads
                                                       : io::EngineKind::Auto;
        if (flags_.threads) options.io.threads = static_cast<unsigned>(*flags_.threads);
        const auto scan = [&](Series& series) {
            snapshot::ScanStats stats;
            const auto tree = snapshot::scan(root, options, &stats);
            series.items = tree.size();
            series.bytes = stats.bytes_hashed;
            series.note =
                fmt::format("{} files opened, engine {}", stats.files_hashed, stats.engine);
        };
        std::vector<Series> all = {repeat("snapshot", scan)};
        snapshot::StatCache cache;
        options.stat_cache = &cache;
        Series fill;
        scan(fill);
        all.push_back(repeat("again, unchanged", scan));
        return all;
    }

    // What a snapshot costs to open, and then a diff of two that nobody has looked at yet.
    std::vector<Series> diff(const std::string& before, const std::string& after) const {
        const auto open = [](const std::string& file) {
            return in_context([&] { return file; }, [&] { return snapshot::open_tree(file); });
        };
        return {repeat("open", [&](Series& series) { series.items = open(before).size(); }),
                repeat("open both and diff", [&](Series& series) {
                    const auto a = open(before), b = open(after);
                    const auto changes = diff::compare(a, b);
                    series.items = a.size() + b.size();
                    series.note = fmt::format("{} changes", changes.size());
                })};
    }

    const Flags& flags_;
    const unsigned runs_;
};

std::string render_table(const std::vector<Series>& all) {
    Table table({"WORK", "WALL", "CPU", "ENTRIES/S", "MB/S", "NOTE"});
    for (const auto& series : all) {
        const auto [wall, cpu] = series.typical();
        table.add({series.name, fmt::format("{:.3f} s", wall), fmt::format("{:.3f} s", cpu),
                   fmt::format("{:.0f}", static_cast<double>(series.items) / wall),
                   series.bytes
                       ? fmt::format("{:.0f}", static_cast<double>(series.bytes) / wall / 1e6)
                       : "-",
                   series.note});
    }
    return table.str();
}

std::string render_json(const std::vector<Series>& all) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& series : all) {
        auto runs = nlohmann::ordered_json::array();
        for (const Cost& cost : series.costs)
            runs.push_back({{"wallSeconds", cost.wall}, {"cpuSeconds", cost.cpu}});
        list.push_back({{"work", series.name},
                        {"entries", series.items},
                        {"bytes", series.bytes},
                        {"note", series.note},
                        {"runs", std::move(runs)}});
    }
    return json_text(list);
}

int run(const Flags& flags) {
    const auto all = Bench(flags).run();
    print_result(flags.json ? render_json(all) : render_table(all));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    restrict_to(required(add_argument(app, "WHAT", flags->what, "walk, snapshot or diff")),
                "walk|snapshot|diff");
    required(add_arguments(app, "PATH", flags->paths, "A directory; for diff, two snapshot files"));
    add_number(app, "-n,--runs", flags->runs, "How many times (default 3); medians are printed");
    add_number(app, "--threads", flags->threads, "Threads that walk or read (default 2)");
    add_value(app, "--engine", flags->engine, "auto|io_uring|threads",
              "How files are read, or for walk, attributes (default auto)");
    add_switch(app, "--no-xattrs", flags->no_xattrs, "Leave extended attributes out of the walk");
    add_switch(app, "--json", flags->json, "Print every run as JSON");
    return [flags](Workspace&) { return run(*flags); };
}

}  // namespace

const Command& bench_command() {
    static const Command command = {
        .name = "bench",
        .group = "Engine alone",
        .summary = "Time the engine on a tree",
        .usage = "[OPTIONS] walk|snapshot DIR | diff A.snap B.snap",
        .details =
            "walk reads every directory and the metadata of every entry. snapshot also hashes "
            "every file, and then takes the snapshot again with nothing changed. diff compares "
            "two snapshot files, opening them included.\n\n"
            "The page cache is as it is: drop it first (/proc/sys/vm/drop_caches) and ask for one "
            "run to measure cold.",
        .examples = {{"shale bench walk /usr", "How fast metadata can be read here"},
                     {"shale bench snapshot -n 5 --engine io_uring node_modules",
                      "Reading and hashing, with one engine"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
