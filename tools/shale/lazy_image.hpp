// "docker://REF": an image that stays in its registry, read as somebody looks into it.
#pragma once

#include "tree_argument.hpp"

#include <string_view>

namespace shale::cli {

inline constexpr std::string_view kRegistryPrefix = "docker://";

// Fetches manifest, config and tables of contents. Layers that cannot be read in parts are pulled
// into the store, which is said on standard error; those that the store has are read there.
TreeArgument open_lazy_image(Workspace& workspace, std::string_view name,
                             const PlatformChoice& platform);

}  // namespace shale::cli
