// codec: what a layer that is made again needs beyond codec.hpp: SHA-256 that can be saved,
// continued and run beside others, and which encoder made a frame.
//
// Our own kernel where the processor has the SHA extensions, OpenSSL's elsewhere. One object per
// thread; the free functions are safe from any thread.
#pragma once

#include <shale/base.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace shale::codec {

// codec::Sha256 as a plain value. A copy is a saved state: it may be kept and continued, here or,
// through save() and restore(), in another process.
class Sha256Stream {
  public:
    Sha256Stream();
    void update(Bytes bytes);
    // Ends the computation; the object may be used again afterwards, from the empty state.
    Digest finish();

    static constexpr std::size_t kStateBytes = 8 * 4 + 8 + 64;
    // The computation so far: words, count of bytes, those of the block not yet full.
    std::array<std::byte, kStateBytes> save() const;
    // nullopt if that is no state that save() gives.
    static std::optional<Sha256Stream> restore(Bytes state);

  private:
    friend class ShaLanes;
    std::array<std::uint32_t, 8> words_;
    std::uint64_t bytes_ = 0;
    std::array<std::byte, 64> pending_;  // the first bytes_ % 64 are content
};

// Independent computations advance together on one core: two cost less than twice one; how much
// less depends on the processor (docs/benchmarks.md). The results are those of update() and
// sha256().
struct Sha256Update {
    Sha256Stream* hash = nullptr;  // each hash at most once per call
    Bytes bytes;
};
// Whether that is so here: not without the processor's own instructions for it.
bool sha256_is_faster_together();
// `messages` are hashed whole into `digests`, one each, beside the `updates`.
void sha256_together(std::span<const Sha256Update> updates, std::span<const Bytes> messages = {},
                     std::span<Digest> digests = {});

// Of libzstd: two versions may compress the same bytes differently.
std::uint32_t zstd_version();

}  // namespace shale::codec
