// The zstd parameters that every encoder of this room shares.
#pragma once

#include <shale/base.hpp>

#include <fmt/format.h>
#include <zstd.h>

#include <string>

namespace shale::codec {

struct FreeZstd {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// 8 MiB: the largest window RFC 8878 asks every decoder to support.
inline constexpr int kMaxWindowLog = 23;
// Above this level zstd would choose a larger window by itself.
inline constexpr int kLastLevelWithinWindow = 19;

inline void configure_encoder(ZSTD_CCtx* context, int level) {
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        fail(ErrorKind::Invalid, fmt::format("zstd level {} is outside {}..{}", level,
                                             ZSTD_minCLevel(), ZSTD_maxCLevel()));
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    if (level > kLastLevelWithinWindow)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, kMaxWindowLog);
}

}  // namespace shale::codec
