// A view without a kernel in front of it: looking names up, listing, and reading files through
// frames, with a cold and with a warm frame cache.
#include "sample_tree.hpp"

#include <shale/mount.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace shale;
using snapshot::NodeId;

struct Blob final : oci::BlobSource {
    std::string bytes;
    std::uint64_t blob_size(const Digest&) override { return bytes.size(); }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        std::memcpy(out.data(), bytes.data() + offset, out.size());
    }
};

struct Sample {
    bench::SampleTree directory{20000};
    std::shared_ptr<const snapshot::Tree> tree =
        std::make_shared<snapshot::Tree>(snapshot::scan(directory.path()));
    Blob blob;
    layer::ContentIndex index;

    Sample() {
        const auto empty = snapshot::TreeBuilder().finish();
        const auto written = layer::write_layer(
            diff::compare(empty, *tree), *tree, layer::content_from_directory(directory.path()), {},
            [this](Bytes bytes) { blob.bytes.append(as_text(bytes)); });
        index.add(written.blob, written.toc);
    }
};

Sample& sample() {
    static Sample made;
    return made;
}

// Every file's first 64 KiB.
std::uint64_t read_all(mount::View& view) {
    std::vector<std::byte> buffer(64 << 10);
    std::uint64_t bytes = 0;
    for (NodeId node = 0; node < view.tree().size(); ++node)
        if (view.tree().entry(node).type == FileType::Regular)
            bytes += view.fetch(mount::InodeId{node + 1ull}, 0, buffer);
    return bytes;
}

void ReadCold(benchmark::State& state) {
    auto& made = sample();  // before the clock starts
    std::uint64_t bytes = 0;
    for (auto _ : state) {
        mount::View view(made.tree, made.index, made.blob);
        bytes += read_all(view);
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(ReadCold)->UseRealTime()->Unit(benchmark::kMillisecond);

void ReadWarm(benchmark::State& state) {
    mount::View view(sample().tree, sample().index, sample().blob);
    read_all(view);
    std::uint64_t bytes = 0;
    for (auto _ : state)
        bytes += read_all(view);
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(ReadWarm)->UseRealTime()->Unit(benchmark::kMillisecond);

void List(benchmark::State& state) {
    mount::View view(sample().tree, sample().index, sample().blob);
    std::int64_t entries = 0;
    for (auto _ : state)
        for (NodeId node = 0; node < view.tree().size(); ++node) {
            auto position = view.first_child(mount::InodeId{node + 1ull});
            while (view.directory_entry(position))
                ++entries;
        }
    state.SetItemsProcessed(entries);
}
BENCHMARK(List)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
