// Files of a layer that stays in a registry 10 ms away: read one after another, here and there, and
// when all has been fetched before. The first is what reading ahead is for.
#include "sample_tree.hpp"

#include <shale/lazy.hpp>

#include <benchmark/benchmark.h>

#include <cstring>
#include <future>
#include <thread>

namespace {

using namespace shale;

constexpr auto kRoundTrip = std::chrono::milliseconds(10);

struct NoBlobs final : oci::BlobSource {
    std::uint64_t blob_size(const Digest& blob) override { fail(ErrorKind::NotFound, blob.str()); }
    void read_blob(const Digest& blob, std::uint64_t, MutableBytes) override {
        fail(ErrorKind::NotFound, blob.str());
    }
};

struct Sample {
    bench::SampleTree directory{20000};
    std::string blob;
    oci::Descriptor descriptor;

    Sample() {
        const auto empty = snapshot::TreeBuilder().finish();
        const auto tree = snapshot::scan(directory.path());
        const auto written = layer::write_layer(
            diff::compare(empty, tree), tree, layer::content_from_directory(directory.path()), {},
            [this](Bytes bytes) { blob.append(as_text(bytes)); });
        const auto& last = written.toc.frames.back();
        const auto tail = blob.substr(last.blob_offset + last.blob_bytes);
        descriptor.digest = written.blob;
        descriptor.size = blob.size();
        descriptor.annotations[std::string(layer::kAnnotationTocBytes)] =
            std::to_string(tail.size());
        descriptor.annotations[std::string(layer::kAnnotationTocDigest)] =
            codec::sha256(tail).str();
    }
};

// A mount of it, as far as this module goes.
struct Remote {
    explicit Remote(const Sample& made) : sample(made), toc(blobs.add(sample.descriptor)) {}
    void read(const layer::Frame& frame) {
        packed.resize(frame.blob_bytes);
        blobs.read_blob(sample.descriptor.digest, frame.blob_offset, packed);
    }
    const Sample& sample;
    NoBlobs none;
    TempDir directory;
    lazy::RemoteBlobs blobs{[this](const oci::Descriptor&, std::uint64_t offset, MutableBytes out) {
                                std::this_thread::sleep_for(kRoundTrip);
                                std::memcpy(out.data(), sample.blob.data() + offset, out.size());
                            },
                            none, directory.path()};
    std::shared_ptr<const layer::Toc> toc;
    std::vector<std::byte> packed;
};

enum class Order { InOrder, EverySecond, AllHere };

void Frames(benchmark::State& state, Order order) {
    static const Sample sample;
    std::int64_t frames = 0, requests = 0;
    for (auto _ : state) {
        state.PauseTiming();
        Remote remote(sample);
        if (order == Order::AllHere) {
            std::promise<void> done;
            remote.blobs.fetch_in_background(remote.blobs.frames(),
                                             [&](std::exception_ptr) { done.set_value(); });
            done.get_future().wait();
        }
        const auto before = remote.blobs.stats().requests;
        state.ResumeTiming();
        const std::size_t stride = order == Order::EverySecond ? 2 : 1;
        for (std::size_t i = 0; i < remote.toc->frames.size(); i += stride, ++frames)
            remote.read(remote.toc->frames[i]);
        state.PauseTiming();
        requests += static_cast<std::int64_t>(remote.blobs.stats().requests - before);
        state.ResumeTiming();
    }
    state.SetItemsProcessed(frames);
    state.counters["frames"] =
        benchmark::Counter(static_cast<double>(frames), benchmark::Counter::kAvgIterations);
    state.counters["requests"] =
        benchmark::Counter(static_cast<double>(requests), benchmark::Counter::kAvgIterations);
}
BENCHMARK_CAPTURE(Frames, in_order, Order::InOrder)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Frames, every_second, Order::EverySecond)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Frames, all_here, Order::AllHere)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
