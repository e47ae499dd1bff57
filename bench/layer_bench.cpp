// Layers of a sample tree: writing one from scratch at several levels, reading its table of
// contents, merging it into a tree, and reading one file through frames.
#include "sample_tree.hpp"

#include <shale/layer.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace shale;

struct Blob final : oci::BlobSource {
    std::string bytes;
    std::uint64_t blob_size(const Digest&) override { return bytes.size(); }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        std::memcpy(out.data(), bytes.data() + offset, out.size());
    }
};

struct Sample {
    bench::SampleTree directory{20000};
    snapshot::Tree empty = snapshot::TreeBuilder().finish();
    snapshot::Tree tree = snapshot::scan(directory.path());
    std::vector<diff::Change> changes = diff::compare(empty, tree);
    Blob blob;
    layer::Written written = write(layer::WriteOptions{}, &blob.bytes);

    layer::Written write(const layer::WriteOptions& options, std::string* into) const {
        return layer::write_layer(changes, tree, layer::content_from_directory(directory.path()),
                                  options, [into](Bytes bytes) {
                                      if (into) into->append(as_text(bytes));
                                  });
    }
};

Sample& sample() {
    static Sample made;
    return made;
}

void Write(benchmark::State& state) {
    layer::WriteOptions options;
    options.level = static_cast<int>(state.range(0));
    options.threads = static_cast<unsigned>(state.range(1));
    const auto& made = sample();  // before the clock starts
    std::uint64_t bytes = 0;
    for (auto _ : state)
        bytes += made.write(options, nullptr).toc.tar_bytes;
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(Write)
    ->ArgNames({"level", "threads"})
    ->ArgsProduct({{1, 3}, {1, 2}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void ReadToc(benchmark::State& state) {
    auto& made = sample();
    for (auto _ : state)
        benchmark::DoNotOptimize(layer::read_toc(made.blob, made.written.blob));
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(made.written.toc.entries.size()));
}
BENCHMARK(ReadToc)->Unit(benchmark::kMillisecond);

void Merge(benchmark::State& state) {
    auto& made = sample();
    for (auto _ : state)
        benchmark::DoNotOptimize(layer::merge(made.empty, made.written.toc).size());
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(made.written.toc.entries.size()));
}
BENCHMARK(Merge)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
