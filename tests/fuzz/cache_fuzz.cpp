// Caches from strangers: every document is decoded or refused with an Error, what was decoded names
// only layers that exist, and encodes to a document that decodes to the same.
#include "cache_records.hpp"

using namespace shale;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t kLayers = 3;
    std::vector<build::CachedStep> steps;
    try {
        steps = build::decode_cache({reinterpret_cast<const char*>(data), size}, kLayers);
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    for (const auto& step : steps)
        SHALE_ENSURE(!step.layer || *step.layer < kLayers);
    SHALE_ENSURE(build::decode_cache(build::encode_cache(steps), kLayers) == steps);
    return 0;
}
