// Walking a warm tree, against the loop everybody writes first: readdir and lstat by path.
#include "sample_tree.hpp"

#include <shale/walk.hpp>

#include <benchmark/benchmark.h>
#include <dirent.h>
#include <sys/stat.h>

namespace {

using namespace shale;

const std::string& tree() {
    static const bench::SampleTree sample(30000);
    return sample.path();
}

void Walk(benchmark::State& state) {
    walk::Options options;
    options.threads = static_cast<unsigned>(state.range(0));
    options.read_xattrs = state.range(1) != 0;
    const std::string& root = tree();  // made before the clock starts
    std::uint64_t entries = 0;
    for (auto _ : state) {
        std::uint64_t bytes = 0;
        entries += walk::walk(root, options, [&](const walk::Entry& entry) {
                       bytes += entry.size;
                   }).entries;
        benchmark::DoNotOptimize(bytes);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(entries));
}
BENCHMARK(Walk)
    ->ArgNames({"threads", "xattrs"})
    ->Args({1, 0})
    ->Args({2, 0})
    ->Args({1, 1})
    ->Args({2, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

std::uint64_t naive_walk(const std::string& path, std::uint64_t& bytes) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return 0;
    bytes += static_cast<std::uint64_t>(status.st_size);
    if (!S_ISDIR(status.st_mode)) return 1;
    std::uint64_t entries = 1;
    DIR* dir = ::opendir(path.c_str());
    while (const dirent* item = ::readdir(dir)) {
        const std::string name = item->d_name;
        if (name != "." && name != "..") entries += naive_walk(path + "/" + name, bytes);
    }
    ::closedir(dir);
    return entries;
}

void NaiveWalk(benchmark::State& state) {
    std::uint64_t entries = 0, bytes = 0;
    for (auto _ : state)
        entries += naive_walk(tree(), bytes);
    benchmark::DoNotOptimize(bytes);
    state.SetItemsProcessed(static_cast<std::int64_t>(entries));
}
BENCHMARK(NaiveWalk)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
