// From what a user typed to an image in the store.
#pragma once

#include "workspace.hpp"

#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::cli {

struct StoredImage {
    std::optional<oci::Reference> name;  // absent for an image built without one
    oci::Descriptor descriptor;
    oci::Manifest manifest;
    oci::ImageConfig config;
};

// Nothing if the text is no reference; it may still be an image ID.
std::optional<oci::Reference> parse_reference(std::string_view text);

// What people call it: its familiar name, else its short ID.
std::string shown_name(const StoredImage& image);

// All images whose ID begins with `text`, which is "sha256:…" or at least four hex digits: the same
// image under several names, or none. Invalid if they are different images. Images that cannot be
// read are skipped.
std::vector<StoredImage> images_with_id(store::Store& store, std::string_view text);

// By name, else by image ID: "sha256:…" or at least four hex digits that begin the ID of one image.
// Invalid if several images begin so.
std::optional<StoredImage> find_image(store::Store& store, std::string_view text);
// NotFound tells how to get it.
StoredImage require_image(store::Store& store, std::string_view text);
// Pulls the image, with progress on standard error, if the store lacks it or some of its layers.
// What was found by its ID is not pulled: an ID is no name that a registry knows.
StoredImage obtain_image(Workspace& workspace, std::string_view text);

bool has_all_layers(store::Store& store, const oci::Manifest& manifest);
std::uint64_t compressed_bytes(const oci::Manifest& manifest);
// Bytes of all regular files of the merged tree, each hardlink group once; nullopt if not known
// without reading layers.
std::optional<std::uint64_t> unpacked_bytes(store::Store& store, const StoredImage& image);

}  // namespace shale::cli
