// The two engines behind create_engine(), and the rule both use to decide that a file has ended.
#pragma once

#include <shale/io.hpp>

#include <fcntl.h>

namespace shale::io {

// nullptr if the kernel refuses the ring (old, disabled by sysctl or seccomp, out of locked
// memory).
std::unique_ptr<FileEngine> create_uring_engine(const EngineOptions& options, OnPieces on_pieces);
std::unique_ptr<FileEngine> create_thread_engine(const EngineOptions& options, OnPieces on_pieces);

// A name that became a FIFO since it was listed must not block us.
inline constexpr int kOpenFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

// How far one file has been read. Decides after each read what comes next, so that both engines ask
// for the same bytes and deliver the same pieces.
struct Progress {
    enum class Next { Read, Finish };

    std::uint64_t size_hint = 0;
    std::uint64_t offset = 0;

    // A read of `asked` bytes returned `count`. A short read that ends exactly at the expected size
    // is the end, which saves the usual file its second read; anything else needs a read of 0
    // bytes.
    Next advance(std::uint64_t count, std::uint64_t asked) {
        offset += count;
        const bool ended = count == 0 || (count < asked && offset == size_hint);
        return ended ? Next::Finish : Next::Read;
    }
    bool grew_beyond_reason() const { return offset > size_hint + kMaxGrowth; }
};

}  // namespace shale::io
