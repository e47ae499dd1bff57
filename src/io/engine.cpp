// Chooses an engine and keeps its options within bounds.
#include "engines.hpp"

#include <algorithm>

namespace shale::io {

namespace {

EngineOptions bounded(EngineOptions options) {
    options.depth = std::clamp(options.depth, 1u, 1024u);
    options.threads = std::clamp(options.threads, 1u, 256u);
    options.buffer_bytes = std::clamp<std::uint32_t>(options.buffer_bytes, 4 << 10, 16 << 20);
    return options;
}

}  // namespace

std::unique_ptr<FileEngine> create_engine(const EngineOptions& options, OnPieces on_pieces) {
    const EngineOptions used = bounded(options);
    if (used.kind != EngineKind::Threads)
        if (auto engine = create_uring_engine(used, on_pieces)) return engine;
    return create_thread_engine(used, std::move(on_pieces));
}

}  // namespace shale::io
