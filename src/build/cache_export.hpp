// What a build tells other machines about its steps: in its image, or in an image of its own.
#pragma once

#include "export.hpp"

#include <optional>
#include <string>

namespace shale::build {

// The member of the image's config, if --cache-to type=inline or BUILDKIT_INLINE_CACHE asks for
// one. `layers` are those of the image, one for each of build.state.layers.
std::optional<std::string> inline_cache(const Built& build, const std::vector<FormedLayer>& layers);

// Every other --cache-to. Comes after the outputs, which it does not undo if it fails.
void export_caches(const std::vector<Built>& builds);

}  // namespace shale::build
