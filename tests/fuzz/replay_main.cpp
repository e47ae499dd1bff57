// Runs a fuzz harness over its seed corpus as an ordinary test, so that every compiler and
// sanitizer sees what a fuzzer found once. Around each seed it also tries cuts and flipped bits,
// drawn from a generator with a fixed start: cheap, the same in every run, and enough to notice a
// decoder that trusts a length. On a crash the offending input is printed in hexadecimal, ready to
// become a seed.
//
// usage: replay DIRECTORY|FILE...
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// Present when a sanitizer is linked in.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

namespace filesystem = std::filesystem;

constexpr std::size_t kCuts = 64;
constexpr std::size_t kFlips = 64;

// What the harness is reading right now, for the crash report.
std::string current_seed;
std::vector<std::uint8_t> current_input;

// Async-signal-safe: the process may be in any state.
void print(std::string_view text) {
    if (write(STDERR_FILENO, text.data(), text.size()) < 0) _exit(1);
}

void report_input() {
    constexpr char kDigits[] = "0123456789abcdef";
    print("\nthe harness died on an input made from ");
    print(current_seed);
    print(":\n");
    for (const std::uint8_t byte : current_input) {
        const std::array<char, 2> text{kDigits[byte >> 4], kDigits[byte & 15]};
        print({text.data(), text.size()});
    }
    print("\n");
}

extern "C" void on_signal(int signal) {
    report_input();
    std::signal(signal, SIG_DFL);
    raise(signal);
}

void run(std::vector<std::uint8_t> input) {
    current_input = std::move(input);
    LLVMFuzzerTestOneInput(current_input.data(), current_input.size());
}

// SplitMix64: small, and the same everywhere, unlike the distributions of <random>.
std::uint64_t next_random(std::uint64_t& state) {
    std::uint64_t word = state += 0x9e3779b97f4a7c15;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

void run_around(const filesystem::path& path) {
    current_seed = path.filename().string();
    std::ifstream file(path, std::ios::binary);
    const std::vector<std::uint8_t> seed{std::istreambuf_iterator<char>(file), {}};
    run(seed);
    const std::size_t step = std::max<std::size_t>(1, seed.size() / kCuts);
    for (std::size_t length = 0; length < seed.size(); length += step)
        run({seed.begin(), seed.begin() + static_cast<std::ptrdiff_t>(length)});
    std::uint64_t state = seed.size();
    for (std::size_t i = 0; i < kFlips && !seed.empty(); ++i) {
        std::vector<std::uint8_t> flipped = seed;
        const std::uint64_t bit = next_random(state) % (seed.size() * 8);
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        run(std::move(flipped));
    }
}

std::vector<filesystem::path> seeds(int count, char** arguments) {
    std::vector<filesystem::path> paths;
    for (int i = 1; i < count; ++i) {
        if (!filesystem::is_directory(arguments[i])) {
            paths.emplace_back(arguments[i]);
            continue;
        }
        for (const auto& entry : filesystem::recursive_directory_iterator(arguments[i]))
            if (entry.is_regular_file()) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace

int main(int count, char** arguments) {
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) {
        // A sanitizer reports these better, and calls back.
        if (signal == SIGABRT || !__sanitizer_set_death_callback) std::signal(signal, on_signal);
    }
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report_input);
    const std::vector<filesystem::path> paths = seeds(count, arguments);
    if (paths.empty()) {
        std::fprintf(stderr, "no seeds: a corpus that is missing must not look like a pass\n");
        return 1;
    }
    for (const auto& path : paths) {
        try {
            run_around(path);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "the harness let an exception escape: %s\n", error.what());
            report_input();
            return 1;
        }
    }
    std::printf("%zu seeds\n", paths.size());
    return 0;
}
