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
    oci::Descriptor descriptor;          // of the manifest
    oci::Manifest manifest;
    oci::ImageConfig config;
    // What stands between the name and the manifest, if the image is one of several in an index,
    // and the platforms there are.
    std::optional<oci::Descriptor> index{};
    std::vector<oci::Platform> platforms{};

    // What a name refers to: the index if there is one.
    const oci::Descriptor& named() const { return index ? *index : descriptor; }
};

// Which image of an index to take; nothing: the one for this machine.
using PlatformChoice = std::optional<oci::Platform>;
// "--platform PLATFORM"; read it with chosen_platform().
void add_platform_flag(CLI::App& app, std::string& into);
PlatformChoice chosen_platform(const std::string& flag);

// Nothing if the text is no reference; it may still be an image ID.
std::optional<oci::Reference> parse_reference(std::string_view text);

// What people call it: its familiar name, else its short ID.
std::string shown_name(const StoredImage& image);

// The image that `descriptor`, a manifest or an index, stands for. NotFound, listing the platforms
// there are, if none fits.
StoredImage load_image(store::Store& store, const std::optional<oci::Reference>& name,
                       const oci::Descriptor& descriptor, const PlatformChoice& platform);
// All that it stands for: of an index, one for each platform whose documents are in the store.
std::vector<StoredImage> images_of(store::Store& store, const std::optional<oci::Reference>& name,
                                   const oci::Descriptor& descriptor);

// All images with an ID, or a digest of their manifest or index, that begins with `text`, which is
// "sha256:…" or at least four hex digits: the same image under several names, the images of one
// index, or none. Invalid if they are different ones. Images that cannot be read are skipped.
std::vector<StoredImage> images_with_id(store::Store& store, std::string_view text);

// By name, else by image ID or digest as above.
std::optional<StoredImage> find_image(store::Store& store, std::string_view text,
                                      const PlatformChoice& platform = {});
// NotFound tells how to get it.
StoredImage require_image(store::Store& store, std::string_view text,
                          const PlatformChoice& platform = {});
// Pulls the image, with progress on standard error, if the store lacks it or some of its layers.
// What was found by its ID is not pulled: an ID is no name that a registry knows. Also takes what
// build::import_image() takes.
StoredImage obtain_image(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform = {});
// For who wants the documents alone: an image of the store, or, as docker://NAME, of its registry,
// where its layers stay. Also takes what build::import_image() takes.
StoredImage described_image(Workspace& workspace, const std::string& text,
                            const PlatformChoice& platform = {});
// Says on standard error which image of an index was taken, unless somebody chose.
void announce_platform(const StoredImage& image, const PlatformChoice& platform);

bool has_all_layers(store::Store& store, const oci::Manifest& manifest);
std::uint64_t compressed_bytes(const oci::Manifest& manifest);
// Bytes of all regular files of the merged tree, each hardlink group once; nullopt if not known
// without reading layers.
std::optional<std::uint64_t> unpacked_bytes(store::Store& store, const StoredImage& image);

}  // namespace shale::cli
