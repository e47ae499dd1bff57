// Reading every file of a warm tree and summing it up (XXH3): both engines, and the loop that
// everybody writes first. Workers take a directory at a time, each with an engine of its own, as
// snapshot's do. CPU time is of the whole process.
#include "sample_tree.hpp"

#include <shale/codec.hpp>
#include <shale/io.hpp>
#include <shale/walk.hpp>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <unordered_map>

namespace {

using namespace shale;

struct Directory {
    std::string path;
    std::vector<std::pair<std::string, std::uint64_t>> files;  // name, size
};

// With SHALE_BENCH_MOST in the environment, only files up to so many bytes.
const std::vector<Directory>& directories() {
    static const bench::SampleTree sample(30000);
    static const std::vector<Directory> all = [] {
        const char* most = std::getenv("SHALE_BENCH_MOST");
        const std::uint64_t limit = most ? std::strtoull(most, nullptr, 10) : ~std::uint64_t{0};
        std::vector<Directory> list;
        std::unordered_map<std::string, std::size_t> places;
        walk::Options options;
        options.read_xattrs = false;
        walk::walk(sample.path(), options, [&](const walk::Entry& entry) {
            if (entry.type != FileType::Regular || entry.size > limit) return;
            const std::string below(entry.path.substr(0, entry.path.size() - entry.name.size()));
            const auto [at, is_new] = places.try_emplace(below, list.size());
            if (is_new) list.push_back({join_path(sample.path(), below), {}});
            list[at->second].files.emplace_back(entry.name, entry.size);
        });
        return list;
    }();
    return all;
}

class PlainLoop {
  public:
    void read(const Directory& directory) {
        const UniqueFd parent = open_file(directory.path, O_PATH | O_DIRECTORY);
        for (const auto& [name, size] : directory.files) {
            const UniqueFd file(::openat(parent.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
            ssize_t got = 0;
            // A short read of a file of known size is its end.
            while ((got = ::read(file.get(), buffer_.data(), buffer_.size())) > 0) {
                sum_ ^= codec::xxh3_64(Bytes(buffer_).first(static_cast<std::size_t>(got)));
                bytes_ += static_cast<std::uint64_t>(got);
                if (static_cast<std::size_t>(got) < buffer_.size()) break;
            }
        }
    }
    std::uint64_t finish() { return sum_; }
    std::uint64_t bytes() const { return bytes_; }

  private:
    std::vector<std::byte> buffer_ = std::vector<std::byte>(64 << 10);
    std::uint64_t sum_ = 0, bytes_ = 0;
};

class ThroughEngine {
  public:
    explicit ThroughEngine(const io::EngineOptions& options)
        : engine_(io::create_engine(options, [this](std::span<const io::Piece> pieces) {
              for (const auto& piece : pieces) {
                  if (!piece.bytes.empty()) sum_ ^= codec::xxh3_64(piece.bytes);
                  bytes_ += piece.bytes.size();
                  if (piece.last) close_one(piece.tag);
              }
          })) {}
    void read(const Directory& directory) {
        const std::uint64_t tag = next_++;
        open_[tag] = {open_file(directory.path, O_PATH | O_DIRECTORY), directory.files.size()};
        const int parent = open_[tag].fd.get();
        for (const auto& [name, size] : directory.files)
            engine_->submit({parent, name.c_str(), size, tag});
    }
    std::uint64_t finish() {
        engine_->drain();
        return sum_;
    }
    std::uint64_t bytes() const { return bytes_; }

  private:
    struct Open {
        UniqueFd fd;
        std::size_t files = 0;  // that are not done
    };
    void close_one(std::uint64_t tag) {
        const auto at = open_.find(tag);
        if (--at->second.files == 0) open_.erase(at);
    }
    std::unordered_map<std::uint64_t, Open> open_;
    std::uint64_t next_ = 0, sum_ = 0, bytes_ = 0;
    std::unique_ptr<io::FileEngine> engine_;
};

template <typename MakeReader>
void read_all(benchmark::State& state, unsigned threads, const MakeReader& make) {
    const auto& all = directories();
    std::uint64_t files = 0, bytes = 0, sum = 0;
    for (const auto& directory : all)
        files += directory.files.size();
    for (auto _ : state) {
        std::atomic<std::size_t> next{0};
        std::atomic<std::uint64_t> read{0}, folded{0};
        std::vector<std::jthread> workers;
        for (unsigned worker = 0; worker < threads; ++worker)
            workers.emplace_back([&] {
                auto reader = make();
                for (std::size_t at = next++; at < all.size(); at = next++)
                    reader->read(all[at]);
                folded ^= reader->finish();
                read += reader->bytes();
            });
        workers.clear();
        bytes += read;
        // Every way reads the same bytes, in pieces of the same size.
        if (sum != 0 && sum != folded) state.SkipWithError("two rounds read different bytes");
        sum = folded;
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(files) * state.iterations());
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
    state.SetLabel(std::to_string(sum));
}

void Plain(benchmark::State& state) {
    read_all(state, static_cast<unsigned>(state.range(0)),
             [] { return std::make_unique<PlainLoop>(); });
}
BENCHMARK(Plain)
    ->ArgNames({"threads"})
    ->Arg(1)
    ->Arg(2)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void Uring(benchmark::State& state) {
    io::EngineOptions options;
    options.kind = io::EngineKind::Uring;
    options.depth = static_cast<unsigned>(state.range(1));
    read_all(state, static_cast<unsigned>(state.range(0)),
             [&] { return std::make_unique<ThroughEngine>(options); });
}
BENCHMARK(Uring)
    ->ArgNames({"rings", "depth"})
    ->ArgsProduct({{1, 2}, {16, 64, 256}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// The engine's owner takes pieces, its workers read.
void Threads(benchmark::State& state) {
    io::EngineOptions options;
    options.kind = io::EngineKind::Threads;
    options.threads = static_cast<unsigned>(state.range(0));
    read_all(state, 1, [&] { return std::make_unique<ThroughEngine>(options); });
}
BENCHMARK(Threads)
    ->ArgNames({"workers"})
    ->Arg(1)
    ->Arg(2)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
