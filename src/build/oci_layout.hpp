// An image in an OCI layout on disk, as a --build-context names it. Its documents and layers are
// copied into the store, verified on the way, when somebody asks for them.
#pragma once

#include <shale/build.hpp>

#include <string>

namespace shale::build {

class OciLayout {
  public:
    explicit OciLayout(std::string directory) : directory_(std::move(directory)) {}

    // By digest; else by tag, "latest" if there is none; without either also the only image there
    // is. NotFound, listing the tags, if the layout has no such image.
    ResolvedImage resolve(const oci::Reference& name, const oci::Platform& platform,
                          store::Store& store);
    void copy_layers(const ResolvedImage& image, store::Store& store);

  private:
    oci::Descriptor choose(const oci::Reference& name) const;
    std::string document(const oci::Descriptor& descriptor, std::uint64_t limit,
                         store::Store& store) const;
    void copy_blob(const oci::Descriptor& blob, store::Store& store) const;
    std::string describe() const { return "oci-layout " + directory_; }

    std::string directory_;
};

}  // namespace shale::build
