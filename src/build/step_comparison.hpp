// What differs between a step and its earlier form.
#pragma once

#include <shale/explain.hpp>

namespace shale::build {

// Where a step follows from one that was cached (as it was in a build longer ago), the causes are
// those of that one; `depth` counts such steps.
Explanation compare_steps(const BuildRecord& build, const RecordedStep& step,
                          const BuildRecord& old_build, const RecordedStep& old_step,
                          const FindTree& find_tree, unsigned depth = 0);

}  // namespace shale::build
