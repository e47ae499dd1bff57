// Writing the metadata image of a tree.
#include "sample_tree.hpp"

#include <shale/erofs.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace shale;

void Image(benchmark::State& state) {
    const bench::SampleTree directory{20000};
    const auto tree = snapshot::scan(directory.path());
    std::size_t bytes = 0;
    for (auto _ : state)
        bytes = erofs::image_of(tree, "").size();
    state.SetItemsProcessed(static_cast<std::int64_t>(tree.size() * state.iterations()));
    state.counters["bytes_per_entry"] =
        static_cast<double>(bytes) / static_cast<double>(tree.size());
}
BENCHMARK(Image)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
