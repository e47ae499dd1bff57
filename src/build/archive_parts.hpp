// The files of an archive of images in the making, each opened when its turn comes.
#pragma once

#include "layer_forms.hpp"

#include <shale/image_archive.hpp>

#include <functional>
#include <string>
#include <vector>

namespace shale::build {

struct Part {
    std::string path;
    std::uint64_t size = 0;
    std::function<codec::Source()> open;
};

std::string blob_name(const Digest& digest);  // "blobs/sha256/HEX"
Part text_part(std::string path, const std::string& text);
// Of the store; Corrupt at its end if it is not the blob any more.
Part blob_part(store::Store& store, const oci::Descriptor& blob);
// `named` is the stored layer, or its plain tar.
Part layer_part(store::Store& store, const oci::Descriptor& named, const FormedLayer& stored);

// index.json: one descriptor for each name of each image, or one for an image without.
Part layout_index(const std::vector<SavedImage>& images);
Part layout_version();

// manifest.json, which `docker load` without a containerd store reads.
struct DockerImage {
    const oci::Manifest& manifest;
    const std::vector<oci::Reference>& names;
};
Part docker_list(const std::vector<DockerImage>& images);

// Of parts with one path the first counts.
void write_parts(const std::vector<Part>& parts, const codec::Sink& sink,
                 const std::stop_token& stop, const OnCopied& on_copied = {});
void write_parts_to_directory(const std::vector<Part>& parts, const std::string& directory,
                              const std::stop_token& stop, const OnCopied& on_copied = {});

// The directory of a layout's blobs below `directory`, made if it is not there. Invalid if a link
// leads elsewhere: what lies there may have been a stranger's. Of one who is still at it nobody is
// safe: what was looked at may be another a moment later.
std::string blobs_directory(const std::string& directory);
// A file of a layout, below such a directory: a link of its name is replaced, not followed.
void write_layout_file(const std::string& path, const codec::Source& source);

// Calls `body` with a sink that ends in `destination`, which appears when `body` returns.
void write_result(const std::string& destination,
                  const std::function<void(const codec::Sink&)>& body);

}  // namespace shale::build
