// walk_engine: how a walk asks the kernel. The other door of `walk`, for whoever wants to choose or
// to be told. docs/decisions/walk-engine.md says what was measured.
#pragma once

#include <shale/walk.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace shale::walk {

// Threads makes plain calls; Uring has io_uring ask for attributes, a directory per system call,
// and falls back to Threads where the kernel refuses a ring. Both give the same stream. Auto is
// Threads.
enum class Engine { Auto, Threads, Uring };

struct EngineOptions {
    Engine engine = Engine::Auto;
    // While reading a directory mostly waits for the disk, threads are added up to this number,
    // because only many requests in flight keep a cold disk busy. Not above Options::threads: their
    // number is fixed.
    unsigned cold_threads = 16;
};

struct EngineReport {
    std::string_view engine = "threads";    // or "io_uring"
    unsigned threads = 0;                   // that read directories, all the time or for a while
    std::uint64_t directories_blocked = 0;  // reading them slept: the disk was asked
    bool is_cold = false;                   // so often that threads joined, or of most
};

// As walk(), which has a fixed number of threads.
Stats walk_with(const std::string& root, const Options& options, const EngineOptions& engine,
                const std::function<void(const Entry&)>& on_entry, EngineReport* report = nullptr);

}  // namespace shale::walk
