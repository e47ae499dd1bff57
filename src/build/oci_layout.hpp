// An image in an OCI layout, a directory or a tar of one. Its documents and layers are copied into
// the store, verified on the way, when somebody asks for them.
#pragma once

#include "image_files.hpp"

#include <shale/build.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shale::build {

// Annotations that name an image in index.json.
inline constexpr const char* kRefName = "org.opencontainers.image.ref.name";
inline constexpr const char* kContainerdName = "io.containerd.image.name";
inline constexpr int kMaxNesting = 4;  // of indexes in indexes

class OciLayout {
  public:
    explicit OciLayout(const std::string& directory)
        : place_(directory), files_(files_of_directory(directory)) {}
    OciLayout(std::string place, std::unique_ptr<ImageFiles> files)
        : place_(std::move(place)), files_(std::move(files)) {}

    // The manifest or index that the name means: by digest; else by tag, "latest" if there is none;
    // without either also the only image there is. NotFound, listing the tags, if the layout has no
    // such image.
    oci::Descriptor choose(const oci::Reference& name) const;
    ResolvedImage resolve(const oci::Reference& name, const oci::Platform& platform,
                          store::Store& store);
    void copy_layers(const ResolvedImage& image, store::Store& store);

    // All images of that name, whatever their platform.
    std::vector<ResolvedImage> resolve_all(const oci::Reference& name, store::Store& store);
    // What index.json lists. NotFound if there is none.
    std::vector<oci::Descriptor> listed() const;
    // A manifest with its config and layers, or an index with what is there of all that it lists.
    // Returns the digest of the first config. NotFound if nothing of an index is there.
    Digest copy_image(const oci::Descriptor& root, store::Store& store) const;
    // Unless the store has it.
    // No more than `most` bytes, whatever is stated.
    void copy_blob(const oci::Descriptor& blob, store::Store& store,
                   std::uint64_t most = UINT64_MAX) const;

  private:
    std::string document(const oci::Descriptor& descriptor, std::uint64_t limit,
                         store::Store& store) const;
    using Copied = std::map<Digest, Digest>;  // documents, and the first config of each
    Digest copy_image(const oci::Descriptor& root, store::Store& store, int depth,
                      Copied& copied) const;
    void copy_layer(const oci::Descriptor& layer, store::Store& store) const;
    ResolvedImage image_of(const oci::Descriptor& descriptor, const std::string& json,
                           store::Store& store) const;
    std::string describe() const { return "oci-layout " + place_; }

    std::string place_;  // for messages
    std::unique_ptr<ImageFiles> files_;
};

}  // namespace shale::build
