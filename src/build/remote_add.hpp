// Sources of ADD that are not in the context: URLs and git repositories.
#pragma once

#include "sources.hpp"

#include <shale/dockerfile.hpp>

#include <optional>
#include <string>

namespace shale::build {

struct RemoteOperand {
    Source source;
    std::string path;     // of the file; empty for all that is in a repository
    bool unpack = false;  // if it is an archive
};

// Fetches the source, or returns nullopt if it names something of the context. `checksum` is
// expanded.
std::optional<RemoteOperand> fetch_operand(Sources& sources, const dockerfile::Copy& add,
                                           const std::string& source, const std::string& checksum);

}  // namespace shale::build
