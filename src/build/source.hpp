// Files from elsewhere, as a root: what a repository, a download, an archive or a directory that
// serves as a base turned out to be.
#pragma once

#include "root.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace shale::build {

// Something from elsewhere that a build was made of, fit to be shown: no password is in it.
struct Material {
    std::string uri;                            // a URL, or a package URL of an image
    std::map<std::string, std::string> digest;  // algorithm -> hexadecimal digits
    auto operator<=>(const Material&) const = default;
};

struct Source {
    std::shared_ptr<Root> root;
    // The same as one layer over nothing, for those who build on it.
    std::shared_ptr<LayerSlot> layer;
    // Seconds; when its author last touched it: the commit's time, Last-Modified, or else that of
    // the newest file. Null or nullopt if that cannot be known, as for a directory.
    std::function<std::optional<std::int64_t>()> time;
    std::optional<Material> material{};  // nullopt for what lies on this machine
};

}  // namespace shale::build
