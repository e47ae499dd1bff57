// image_archive (a door of build): images of the store as one file or directory, and back.
//
// Two forms. Of an OCI layout all blobs are as they are in the store, so digests stay; it may hold
// images for several platforms. What `docker load` of any version reads is a layout as well, with a
// manifest.json beside it; it holds one platform, and zstd layers as plain tars, which changes the
// digest of the manifest, not the image ID.
//
// Names: docker writes them to manifest.json and, as containerd does, to the annotation
// io.containerd.image.name. Of org.opencontainers.image.ref.name only what is more than a tag is
// taken for a name. Free functions, safe from any thread.
#pragma once

#include <shale/codec.hpp>
#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::build {

struct SavedImage {
    oci::Descriptor root;  // a manifest, or an index with all that it lists, in the store
    std::vector<oci::Reference> names;
};

enum class ArchiveForm { Docker, Oci };

// Told now and then how much of a layer or another long blob was copied; `total` is 0 if nobody
// knows it. `what`: its digest, or its name in the archive.
using OnCopied =
    std::function<void(const std::string& what, std::uint64_t bytes, std::uint64_t total)>;
// `source` itself, which tells of what is read of it. `path` is its name: of a blob in a layout,
// its digest is told.
codec::Source told(codec::Source source, const std::string& path, std::uint64_t total,
                   const OnCopied& on_copied);

// True if the store has all of it: documents and layers, for an index of every image.
bool is_whole(store::Store& store, const oci::Descriptor& root);

// A tar. Invalid if an index is to be in the docker form; NotFound if something is not in the
// store; Corrupt if a blob is not what its digest says. `out` has got a part of it by then.
void save_images(store::Store& store, const std::vector<SavedImage>& images, ArchiveForm form,
                 const codec::Sink& out, const std::stop_token& stop,
                 const OnCopied& on_copied = {});
// An OCI layout, index.json last, in a directory that is made if it is not there. Invalid if it
// holds something already; what fails leaves a part.
void save_layout(store::Store& store, const std::vector<SavedImage>& images,
                 const std::string& directory, const std::stop_token& stop,
                 const OnCopied& on_copied = {});

struct LoadedImage {
    oci::Descriptor root;  // a manifest, or an index
    std::vector<oci::Reference> names;
    Digest id;  // of the config of its first image
};

// Copies every image of an archive of either form, plain or compressed, or of a layout's directory,
// into the store, under no name; what fails leaves blobs that nothing refers to. The digests of a
// layout's blobs and the DiffIDs of docker's layers are verified; a layout's DiffIDs, like those of
// what is pulled, when the layers are read. NotFound if it holds no image; Corrupt, naming the
// place, if it is damaged. Of an index, what is not there is passed over if some image is.
std::vector<LoadedImage> load_images(const std::string& path, store::Store& store,
                                     const OnCopied& on_copied = {});

}  // namespace shale::build
