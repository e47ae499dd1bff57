// What one machine tells others about the steps it has done: a member of an image config, whose
// layers are the image's. docs/formats/cache.md describes every field.
//
// It comes from strangers. Whatever a document says, decoding it gives records whose numbers are
// within bounds and whose layers exist, or Corrupt.
#pragma once

#include <shale/base.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// The name of the member; another version of the format has another name.
inline constexpr std::string_view kCacheMember = "dev.shale.cache.v1";
inline constexpr std::size_t kMaxCachedSteps = 20'000;
inline constexpr std::size_t kMaxStepNameBytes = 1024;

struct CachedStep {
    Digest key;  // definition key
    std::optional<Digest> content_key;
    Digest tree;                       // of the root after the step
    std::optional<std::size_t> layer;  // its place in the image; none: only the outcome is known
    std::int64_t created_ns = 0, cost_ms = 0;
    std::string name;
    bool operator==(const CachedStep&) const = default;
};

// Deterministic: sorted by key. Failed if there are too many. A long name is cut.
std::string encode_cache(std::vector<CachedStep> steps);
// `layers`: how many the image has.
std::vector<CachedStep> decode_cache(std::string_view json, std::size_t layers);

}  // namespace shale::build
