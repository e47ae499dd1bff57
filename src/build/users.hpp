// Names of users and groups of an image, as its own /etc/passwd and /etc/group define them.
#pragma once

#include <shale/build.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace shale::build {

struct Owner {
    std::uint32_t uid = 0, gid = 0;
};

// --chown=user[:group]. As the reference builder does, an unknown user (or a missing file) means 0
// and an unknown group the user's own: the caller warns with the name left in `unknown`.
Owner resolve_chown(const snapshot::Tree& tree, layer::ContentReader& contents,
                    std::string_view chown, std::string* unknown);

}  // namespace shale::build
