// compare() on a million entries, against a merge of two flat sorted lists: what a differ without
// digests has to do.
#include <shale/diff.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace shale;
using snapshot::EntrySpec;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr unsigned kFiles = 1'000'000;

std::string path_of(unsigned file) {
    return "dir" + std::to_string(file / 2500) + "/sub" + std::to_string(file / 50 % 50) + "/file" +
           std::to_string(file);
}

EntrySpec spec_of(unsigned file, std::int64_t mtime_ns) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.size = 5;
    spec.mtime_ns = mtime_ns;
    std::memcpy(spec.content.bytes.data(), &file, sizeof file);
    return spec;
}

const Tree& before() {
    static const Tree tree = [] {
        TreeBuilder builder;
        for (unsigned file = 0; file < kFiles; ++file)
            builder.put(path_of(file), spec_of(file, 0));
        return builder.finish();
    }();
    return tree;
}

Tree with_changes(unsigned changes) {
    TreeBuilder builder(before());
    for (unsigned at = 0; at < changes; ++at) {
        const unsigned file = at * 7919u % kFiles;
        builder.put(path_of(file), spec_of(file, 1));
    }
    return builder.finish();
}

void Compare(benchmark::State& state) {
    const Tree after = with_changes(static_cast<unsigned>(state.range(0)));
    for (auto _ : state)
        benchmark::DoNotOptimize(diff::compare(before(), after).size());
}
BENCHMARK(Compare)->ArgName("changes")->Arg(1)->Arg(1000)->Arg(100000)->Unit(
    benchmark::kMicrosecond);

void CompareWithoutDigests(benchmark::State& state) {
    const Tree after = with_changes(static_cast<unsigned>(state.range(0)));
    for (auto _ : state) {
        std::size_t different = 0;
        for (NodeId node = 0; node < after.size(); ++node)  // same paths on both sides
            different += before().entry(node).mtime_ns != after.entry(node).mtime_ns ||
                         before().entry(node).content != after.entry(node).content;
        benchmark::DoNotOptimize(different);
    }
}
BENCHMARK(CompareWithoutDigests)->ArgName("changes")->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
