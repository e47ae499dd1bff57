// What somebody may have meant by an operand of COPY or ADD that names nothing.
#pragma once

#include <shale/snapshot.hpp>

#include <string>
#include <string_view>

namespace shale::build {

// For the end of a message: ` (did you mean "/app.py"?)`, or empty. `directory` is where the source
// lies on this machine, which has names that `source` lacks, as a context is walked as far as it is
// needed; empty: `source` is all.
std::string hint_for_missing(std::string_view operand, const snapshot::Tree& source,
                             const std::string& directory);

}  // namespace shale::build
