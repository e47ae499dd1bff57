// base: files in a directory that a stranger may have filled, such as a build context.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace shale {

// openat2(2), tried again when it was interrupted, or when a rename went on meanwhile and the
// kernel could not vouch for ".." in the path. O_CLOEXEC and RESOLVE_NO_MAGICLINKS are always set.
// Holds nothing, and errno says why, if it failed.
UniqueFd open_resolved(int directory, const std::string& path, std::uint64_t flags,
                       std::uint64_t resolve);

// The text of a file below `directory`. Symbolic links are followed as in a chroot: none leads out
// of it. nullopt if there is no such file. Invalid if it is no regular file, or larger than
// `limit`; never waits for a writer, as opening a FIFO does.
std::optional<std::string> read_confined(const std::string& directory, const std::string& name,
                                         std::uint64_t limit);

}  // namespace shale
