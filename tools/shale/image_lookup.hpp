// From what a user typed to an image in the store.
#pragma once

#include "workspace.hpp"

#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shale::cli {

struct StoredImage {
    oci::Reference name;
    oci::Descriptor descriptor;
    oci::Manifest manifest;
    oci::ImageConfig config;
};

// By name, else by image ID: "sha256:…" or at least four hex digits that begin the ID of one image.
// Invalid if several images begin so.
std::optional<StoredImage> find_image(store::Store& store, std::string_view text);
// NotFound tells how to get it.
StoredImage require_image(store::Store& store, std::string_view text);
// Pulls the image, with progress on standard error, if the store lacks it or some of its layers.
StoredImage obtain_image(Workspace& workspace, std::string_view text);

bool has_all_layers(store::Store& store, const oci::Manifest& manifest);
std::uint64_t compressed_bytes(const oci::Manifest& manifest);
// Bytes of all regular files of the merged tree, each hardlink group once; nullopt if not known
// without fetching layers.
std::optional<std::uint64_t> unpacked_bytes(store::Store& store, const StoredImage& image);

}  // namespace shale::cli
