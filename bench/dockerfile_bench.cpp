// Reading a Dockerfile of 5000 lines and 300 stages, and deciding the paths of a large tree by an
// ignore file, against the walk of that tree.
//
// The targets: parsing and expanding such a file in 20 ms; 1000 ignore patterns adding no more than
// 15 % to a walk, which costs about 2 us an entry.
#include "arguments.hpp"
#include "plan.hpp"

#include <shale/dockerfile.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace shale::dockerfile;

// What a generator of Dockerfiles writes: stages on top of each other that copy from each other.
std::string large_file(int stages, int lines) {
    std::string text = "# syntax=docker/dockerfile:1\nARG VERSION=1\n";
    const int body = lines / stages - 3;
    for (int stage = 0; stage < stages; ++stage) {
        const std::string name = std::to_string(stage);
        text += "\n# s" + name + " is built here\nFROM debian:${VERSION} AS s" + name + "\n";
        for (int line = 0; line < body; ++line)
            switch (line % 7) {
            case 0:
                text += "ARG VERSION\n";
                break;
            case 1:
                text += "ENV A" + name + "=\"${VERSION:-x} y\" B=$A" + name + "/bin\n";
                break;
            case 2:
                text += "RUN --mount=type=cache,target=/root/.cache set -e; \\\n";
                break;
            case 3:
                text += "    make -C /src all install\n";
                break;
            case 4:
                text += "COPY --link --chown=1:1 src/$B/*.c include/ /src/\n";
                break;
            case 5:
                text += stage ? "COPY --from=s" + std::to_string(stage - 1) + " /out /in\n"
                              : "WORKDIR /src\n";
                break;
            default:
                text += "CMD [\"/bin/app\", \"--verbose\"]\n";
            }
    }
    return text;
}

void Parse(benchmark::State& state) {
    const std::string text = large_file(300, 5000);
    for (auto _ : state)
        benchmark::DoNotOptimize(parse(text));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(Parse)->Unit(benchmark::kMillisecond);

// What a build does before its first step: read the file, settle the global arguments, find the
// stages that the last one reaches, which are all of them.
void ParseAndPlan(benchmark::State& state) {
    const std::string text = large_file(300, 5000);
    const auto host = shale::oci::Platform::host();
    for (auto _ : state) {
        const File file = parse(text).file;
        const shale::build::Request request;
        const shale::build::Arguments arguments(request, file, host, host, "");
        const auto target = shale::build::find_target(file, "");
        benchmark::DoNotOptimize(shale::build::reached_stages(file, target, arguments));
    }
}
BENCHMARK(ParseAndPlan)->Unit(benchmark::kMillisecond);

void Format(benchmark::State& state) {
    const std::string text = large_file(300, 5000);
    for (auto _ : state)
        benchmark::DoNotOptimize(format(text));
}
BENCHMARK(Format)->Unit(benchmark::kMillisecond);

void Lint(benchmark::State& state) {
    const File file = parse(large_file(300, 5000)).file;
    for (auto _ : state)
        for (std::size_t stage = 0; stage < file.stages.size(); ++stage)
            benchmark::DoNotOptimize(lint_stage(file, stage));
}
BENCHMARK(Lint)->Unit(benchmark::kMillisecond);

// A mix as repositories have it: names and endings anywhere, places, subtrees, exceptions.
std::string ignore_file(int patterns) {
    std::string text;
    for (int i = 0; i < patterns; ++i) {
        const std::string n = std::to_string(i);
        switch (i % 8) {
        case 0:
            text += "**/build" + n + "\n";
            break;
        case 1:
            text += "**/*.x" + n + "\n";
            break;
        case 2:
            text += "packages/p" + n + "/dist\n";
            break;
        case 3:
            text += "docs" + n + "/**\n";
            break;
        case 4:
            text += "*.tmp" + n + "\n";
            break;
        case 5:
            text += "packages/*/cache" + n + "\n";
            break;
        case 6:
            text += "!packages/p" + n + "/keep.x1\n";
            break;
        default:
            text += "tmp" + n + "*\n";
        }
    }
    return text;
}

// One decision per entry of a tree of 100 packages, 10 directories each, 50 files each.
void Ignore(benchmark::State& state) {
    const auto matcher = IgnoreMatcher::parse(ignore_file(static_cast<int>(state.range(0))));
    std::int64_t entries = 0;
    for (auto _ : state) {
        IgnoreMatcher::State root, package, directory;
        for (int p = 0; p < 100; ++p) {
            const std::string place = "packages/p" + std::to_string(p);
            matcher.decide(place, root, &package);
            for (int d = 0; d < 10; ++d) {
                const std::string inner = place + "/lib" + std::to_string(d);
                matcher.decide(inner, package, &directory);
                for (int f = 0; f < 50; ++f)
                    benchmark::DoNotOptimize(
                        matcher.decide(inner + "/file" + std::to_string(f) + ".js", directory));
                entries += 51;
            }
        }
    }
    state.SetItemsProcessed(entries);
}
BENCHMARK(Ignore)->Arg(0)->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);

void CompileIgnoreFile(benchmark::State& state) {
    const std::string text = ignore_file(1000);
    for (auto _ : state)
        benchmark::DoNotOptimize(IgnoreMatcher::parse(text));
}
BENCHMARK(CompileIgnoreFile)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
