// XXH3 through xxHash.
#include <shale/codec.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shale::codec {

Xxh128 xxh3_128(Bytes bytes) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.low64, hash.high64};
}

std::uint64_t xxh3_64(Bytes bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace shale::codec
