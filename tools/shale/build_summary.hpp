// The few lines after a build, and its trace.
#pragma once

#include <shale/build_record.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shale::cli {

// What took the time and the space, and what would save some: at most five lines, none of them
// empty. `image_bytes`: the compressed layers of the result, if it is one image.
std::vector<std::string> build_summary(const build::BuildRecord& record,
                                       std::optional<std::uint64_t> image_bytes);

// "in 4.2s, 31.0s saved by the cache"
std::string build_times(const build::BuildRecord& record);

// The build as Chrome's trace viewer and Perfetto read it: one row for each stage, and rows for
// what is no step.
std::string build_trace(const build::BuildRecord& record);

}  // namespace shale::cli
