// SHA-256 blocks with the SHA extensions of x86-64.
//
// The extension's rounds form one long dependency chain: the processor waits for each pair of
// sha256rnds2 before the next may start, and one computation uses less than half of what the unit
// could do. Two or three computations interleaved instruction by instruction fill the gaps, so the
// second costs little and the third some. That is why a layer's two digests, or the digests of many
// small files, are computed together (codec_bench has the numbers).
//
// Without the extension, OpenSSL's best code for the processor does the blocks, lane after lane.
#include "sha256_kernel.hpp"

// OpenSSL 3 deprecates the functions that show the state between blocks; there are no others.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace shale::codec {

namespace {

void compress_openssl(ShaLane& lane, std::size_t blocks) {
    SHA256_CTX context{};
    SHA256_Init(&context);
    std::copy(lane.words->begin(), lane.words->end(), context.h);
    SHA256_Update(&context, lane.data, blocks * kShaBlockBytes);
    std::copy_n(context.h, lane.words->size(), lane.words->begin());
    lane.data += blocks * kShaBlockBytes;
}

#if defined(__x86_64__)

#define SHALE_SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define SHALE_SHA_INLINE SHALE_SHA_TARGET __attribute__((always_inline)) inline

alignas(64) constexpr std::uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The instructions hold the eight words as two vectors: a, b, e, f and c, d, g, h.
struct Halves {
    __m128i abef, cdgh;
};

SHALE_SHA_INLINE __m128i load(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

SHALE_SHA_INLINE void store(void* into, __m128i value) {
    _mm_storeu_si128(static_cast<__m128i*>(into), value);
}

SHALE_SHA_INLINE Halves load_words(const ShaWords& words) {
    const __m128i cdab = _mm_shuffle_epi32(load(words.data()), 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(load(words.data() + 4), 0x1B);
    return {_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xF0)};
}

SHALE_SHA_INLINE void store_words(const Halves& halves, ShaWords& words) {
    const __m128i feba = _mm_shuffle_epi32(halves.abef, 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(halves.cdgh, 0xB1);
    store(words.data(), _mm_blend_epi16(feba, dchg, 0xF0));
    store(words.data() + 4, _mm_alignr_epi8(dchg, feba, 8));
}

// Words 4*group .. 4*group+3 of the message schedule, in the place of the oldest four.
SHALE_SHA_INLINE void schedule(__m128i (&w)[4], unsigned group, const std::byte* block) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i& next = w[group % 4];
    if (group < 4) {
        next = _mm_shuffle_epi8(load(block + group * sizeof(__m128i)), big_endian);
        return;
    }
    const __m128i last = w[(group + 3) % 4];
    const __m128i seven_back = _mm_alignr_epi8(last, w[(group + 2) % 4], 4);
    const __m128i partial = _mm_sha256msg1_epu32(next, w[(group + 1) % 4]);
    next = _mm_sha256msg2_epu32(_mm_add_epi32(partial, seven_back), last);
}

template <std::size_t Lanes>
SHALE_SHA_TARGET void compress_own(ShaLane* lanes, std::size_t blocks) {
    Halves state[Lanes];
    const std::byte* data[Lanes];
    for (std::size_t lane = 0; lane < Lanes; ++lane) {
        state[lane] = load_words(*lanes[lane].words);
        data[lane] = lanes[lane].data;
    }
    for (; blocks > 0; --blocks) {
        __m128i w[Lanes][4];
        Halves before[Lanes];
        for (std::size_t lane = 0; lane < Lanes; ++lane)
            before[lane] = state[lane];
#pragma GCC unroll 16
        for (unsigned group = 0; group < 16; ++group) {
            const __m128i constants = load(kRoundConstants + 4 * group);
#pragma GCC unroll 3
            for (std::size_t lane = 0; lane < Lanes; ++lane) {
                schedule(w[lane], group, data[lane]);
                const __m128i wk = _mm_add_epi32(w[lane][group % 4], constants);
                Halves& s = state[lane];
                s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
                s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(wk, 0x0E));
            }
        }
        for (std::size_t lane = 0; lane < Lanes; ++lane) {
            state[lane].abef = _mm_add_epi32(state[lane].abef, before[lane].abef);
            state[lane].cdgh = _mm_add_epi32(state[lane].cdgh, before[lane].cdgh);
            data[lane] += kShaBlockBytes;
        }
    }
    for (std::size_t lane = 0; lane < Lanes; ++lane) {
        store_words(state[lane], *lanes[lane].words);
        lanes[lane].data = data[lane];
    }
}

void compress_own(ShaLane* lanes, std::size_t count, std::size_t blocks) {
    if (count == 1) return compress_own<1>(lanes, blocks);
    if (count == 2) return compress_own<2>(lanes, blocks);
    return compress_own<3>(lanes, blocks);
}

bool has_sha_extensions() {
    constexpr unsigned kSsse3 = 1u << 9, kSse41 = 1u << 19;  // leaf 1, ECX
    constexpr unsigned kSha = 1u << 29;                      // leaf 7, EBX
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
}

#else

void compress_own(ShaLane*, std::size_t, std::size_t) {
    SHALE_ENSURE(false);
}

bool has_sha_extensions() {
    return false;
}

#endif

}  // namespace

ShaKernel sha256_kernel() {
    static const ShaKernel chosen = has_sha_extensions() ? ShaKernel::Own : ShaKernel::OpenSsl;
    return chosen;
}

void compress_with(ShaKernel kernel, ShaLane* lanes, std::size_t count, std::size_t blocks) {
    SHALE_ENSURE(count >= 1 && count <= kMaxShaLanes);
    if (kernel == ShaKernel::Own) return compress_own(lanes, count, blocks);
    for (std::size_t lane = 0; lane < count; ++lane)
        compress_openssl(lanes[lane], blocks);
}

void sha256_compress(ShaLane* lanes, std::size_t count, std::size_t blocks) {
    compress_with(sha256_kernel(), lanes, count, blocks);
}

}  // namespace shale::codec
