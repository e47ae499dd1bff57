// Trees: scanning a warm directory cold and with a stat cache, building, editing, writing, reading.
#include "sample_tree.hpp"

#include <shale/snapshot.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace shale;
using snapshot::EntrySpec;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

const std::string& directory() {
    static const bench::SampleTree sample(30000);
    return sample.path();
}

void Scan(benchmark::State& state) {
    snapshot::ScanOptions options;
    options.io.kind = state.range(0) ? io::EngineKind::Uring : io::EngineKind::Threads;
    options.io.threads = static_cast<unsigned>(state.range(1));
    options.io.buffer_bytes = static_cast<std::uint32_t>(state.range(2)) << 10;
    const std::string& root = directory();  // made before the clock starts
    std::uint64_t files = 0, bytes = 0;
    for (auto _ : state) {
        snapshot::ScanStats stats;
        const Tree tree = snapshot::scan(root, options, &stats);
        files += tree.size();
        bytes += stats.bytes_hashed;
        state.SetLabel(stats.engine);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(files));
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(Scan)
    ->ArgNames({"uring", "threads", "buffer_kb"})
    ->ArgsProduct({{0, 1}, {1, 2}, {64, 256}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void Rescan(benchmark::State& state) {
    snapshot::StatCache cache;
    snapshot::ScanOptions options;
    options.stat_cache = &cache;
    options.walk.read_xattrs = state.range(0) != 0;
    snapshot::scan(directory(), options);
    std::uint64_t files = 0;
    for (auto _ : state)
        files += snapshot::scan(directory(), options).size();
    state.SetItemsProcessed(static_cast<std::int64_t>(files));
}
BENCHMARK(Rescan)
    ->ArgNames({"xattrs"})
    ->Arg(0)
    ->Arg(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// `files` files, 50 to a directory, without touching the disk.
Tree synthetic(unsigned files) {
    TreeBuilder builder;
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.size = 5;
    for (unsigned at = 0; at < files; ++at) {
        std::memcpy(spec.content.bytes.data(), &at, sizeof at);
        builder.put("dir" + std::to_string(at / 2500) + "/sub" + std::to_string(at / 50 % 50) +
                        "/file" + std::to_string(at),
                    spec);
    }
    return builder.finish();
}

const Tree& million() {
    static const Tree tree = synthetic(1'000'000);
    return tree;
}

void Build(benchmark::State& state) {
    for (auto _ : state)
        benchmark::DoNotOptimize(synthetic(100'000).size());
    state.SetItemsProcessed(state.iterations() * 100'000);
}
BENCHMARK(Build)->UseRealTime()->Unit(benchmark::kMillisecond);

void EditOneFileOfAMillion(benchmark::State& state) {
    const Tree& base = million();
    EntrySpec spec = base.entry(base.find("dir7/sub7/file17850")).spec();
    for (auto _ : state) {
        spec.mtime_ns++;
        TreeBuilder builder(base);
        builder.put("dir7/sub7/file17850", spec);
        benchmark::DoNotOptimize(builder.finish().digest());
    }
}
BENCHMARK(EditOneFileOfAMillion)->UseRealTime()->Unit(benchmark::kMillisecond);

void Serialise(benchmark::State& state) {
    for (auto _ : state)
        benchmark::DoNotOptimize(million().serialise().size());
    state.SetItemsProcessed(state.iterations() * 1'000'000);
}
BENCHMARK(Serialise)->UseRealTime()->Unit(benchmark::kMillisecond);

void Parse(benchmark::State& state) {
    const std::string bytes = million().serialise();
    for (auto _ : state)
        benchmark::DoNotOptimize(Tree::parse(as_bytes(bytes)).size());
    state.SetItemsProcessed(state.iterations() * 1'000'000);
    state.counters["file_bytes_per_entry"] = static_cast<double>(bytes.size()) / 1e6;
}
BENCHMARK(Parse)->UseRealTime()->Unit(benchmark::kMillisecond);

void Find(benchmark::State& state) {
    const Tree& tree = million();
    unsigned at = 0;
    for (auto _ : state) {
        at = (at + 7919) % 1'000'000;
        const auto node = tree.find("dir" + std::to_string(at / 2500) + "/sub" +
                                    std::to_string(at / 50 % 50) + "/file" + std::to_string(at));
        if (node == snapshot::kNoNode) state.SkipWithError("not found");
    }
}
BENCHMARK(Find);

}  // namespace

BENCHMARK_MAIN();
