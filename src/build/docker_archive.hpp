// An image as `docker save` and skopeo's docker-archive write it: manifest.json names a config and
// layers among the members of a tar.
#pragma once

#include "image_files.hpp"

#include <shale/build.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::build {

// Copies the image called `name`, or the only one if that is empty, into the store, where it gets a
// manifest. NotFound, listing the names, if there is no such image; Corrupt if manifest.json is
// impossible. Whether the layers have the DiffIDs of the config is found out by who merges them.
ResolvedImage import_docker_archive(const ImageFiles& files, const std::string& place,
                                    std::string_view name, store::Store& store);
// All of them, each with the names that manifest.json gives it.
std::vector<std::pair<ResolvedImage, std::vector<std::string>>>
import_docker_archive(const ImageFiles& files, const std::string& place, store::Store& store);

}  // namespace shale::build
