// SHA-256: our kernel in one to three lanes against OpenSSL's, on a layer-sized stream and on
// messages the size of small files.
#include "sha256_kernel.hpp"

#include <shale/codec.hpp>
#include <shale/codec_state.hpp>

#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <cmath>
#include <random>

namespace {

using namespace shale;
using namespace shale::codec;

constexpr std::size_t kFrameBytes = 512 << 10;

std::string random_bytes(std::size_t count) {
    std::mt19937_64 random(1);
    std::string bytes(count, '\0');
    for (char& c : bytes)
        c = static_cast<char>(random());
    return bytes;
}

void StreamOpenSsl(benchmark::State& state) {
    const std::string bytes = random_bytes(kFrameBytes);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
    for (auto _ : state)
        EVP_DigestUpdate(context, bytes.data(), bytes.size());
    EVP_MD_CTX_free(context);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(StreamOpenSsl);

void StreamOwn(benchmark::State& state) {
    const auto lanes = static_cast<std::size_t>(state.range(0));
    const std::string bytes = random_bytes(kFrameBytes * lanes);
    std::vector<Sha256Stream> hashes(lanes);
    std::vector<Sha256Update> updates;
    for (std::size_t lane = 0; lane < lanes; ++lane)
        updates.push_back(
            {&hashes[lane], as_bytes(bytes).subspan(lane * kFrameBytes, kFrameBytes)});
    for (auto _ : state)
        sha256_together(updates);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
    state.SetLabel(sha256_kernel() == ShaKernel::Own ? "SHA extensions" : "OpenSSL blocks");
}
BENCHMARK(StreamOwn)->ArgName("lanes")->DenseRange(1, 3);

// Files of 64 bytes to 32 KB, log-uniform.
std::vector<std::string> small_files() {
    std::mt19937 random(2);
    std::vector<std::string> files(500);
    for (std::string& file : files)
        file = random_bytes(
            static_cast<std::size_t>(std::exp2(std::uniform_real_distribution<>(6, 15)(random))));
    return files;
}

std::int64_t total_bytes(const std::vector<std::string>& files) {
    std::size_t total = 0;
    for (const std::string& file : files)
        total += file.size();
    return static_cast<std::int64_t>(total);
}

void SmallFilesOpenSsl(benchmark::State& state) {
    const auto files = small_files();
    EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    Digest digest;
    for (auto _ : state)
        for (const std::string& file : files) {
            EVP_DigestInit_ex2(context, method, nullptr);
            EVP_DigestUpdate(context, file.data(), file.size());
            EVP_DigestFinal_ex(context, digest.bytes.data(), nullptr);
        }
    EVP_MD_CTX_free(context);
    EVP_MD_free(method);
    state.SetBytesProcessed(state.iterations() * total_bytes(files));
}
BENCHMARK(SmallFilesOpenSsl)->Unit(benchmark::kMicrosecond);

void SmallFilesOneByOne(benchmark::State& state) {
    const auto files = small_files();
    for (auto _ : state)
        for (const std::string& file : files)
            benchmark::DoNotOptimize(sha256(file));
    state.SetBytesProcessed(state.iterations() * total_bytes(files));
}
BENCHMARK(SmallFilesOneByOne)->Unit(benchmark::kMicrosecond);

void SmallFilesTogether(benchmark::State& state) {
    const auto files = small_files();
    std::vector<Bytes> messages;
    for (const std::string& file : files)
        messages.push_back(as_bytes(file));
    std::vector<Digest> digests(files.size());
    for (auto _ : state)
        sha256_together({}, messages, digests);
    state.SetBytesProcessed(state.iterations() * total_bytes(files));
}
BENCHMARK(SmallFilesTogether)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
