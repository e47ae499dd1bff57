// base: files in a directory that a stranger may have filled, such as a build context.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace shale {

// The text of a file below `directory`. Symbolic links are followed as in a chroot: none leads out
// of it. nullopt if there is no such file. Invalid if it is no regular file, or larger than
// `limit`; never waits for a writer, as opening a FIFO does.
std::optional<std::string> read_confined(const std::string& directory, const std::string& name,
                                         std::uint64_t limit);

}  // namespace shale
