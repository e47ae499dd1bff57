// The changes between two trees as text, for messages and comparisons.
#pragma once

#include <shale/diff.hpp>

#include <string>

namespace shale::testing {

inline std::string changes_between(const snapshot::Tree& before, const snapshot::Tree& after,
                                   const diff::Options& options = {}) {
    return diff::to_text(diff::compare(before, after, options), after);
}

}  // namespace shale::testing
