// From an archive of whatever form to images of the store.
#include "archive_parts.hpp"
#include "docker_archive.hpp"
#include "image_files.hpp"
#include "oci_layout.hpp"

#include <shale/image_archive.hpp>

#include <sys/stat.h>

namespace shale::build {
namespace {

// What containerd writes is a name. The other annotation may be anything, a tag alone mostly: only
// a name with a tag is one.
std::optional<oci::Reference> name_of(const oci::Descriptor& listed) {
    if (const auto found = listed.annotations.find(kContainerdName);
        found != listed.annotations.end())
        return oci::Reference::parse(found->second);
    const auto found = listed.annotations.find(kRefName);
    if (found == listed.annotations.end()) return std::nullopt;
    const auto& text = found->second;
    const auto last = text.rfind('/');
    if (text.find(':', last == std::string::npos ? 0 : last) == std::string::npos)
        return std::nullopt;
    try {
        return oci::Reference::parse(text);
    } catch (const Error& error) {
        log(LogLevel::Debug, std::string("no name of an image: ") + error.what());
        return std::nullopt;
    }
}

// One element for each image, with all of its names.
std::vector<LoadedImage> load_layout(const OciLayout& layout, store::Store& store) {
    std::vector<LoadedImage> images;
    for (const auto& listed : layout.listed()) {
        auto image =
            std::ranges::find(images, listed.digest, [](const auto& i) { return i.root.digest; });
        if (image == images.end()) {
            images.push_back({listed, {}, layout.copy_image(listed, store)});
            images.back().root.annotations.clear();  // an archive's word, not the image's
            image = images.end() - 1;
        }
        auto name = name_of(listed);
        if (!name || name->tag.empty()) continue;
        name->digest.reset();
        image->names.push_back(std::move(*name));
    }
    return images;
}

// The DiffID is all that such an archive says of a layer.
void check_layer(const oci::Descriptor& layer, const Digest& diff_id, store::Store& store) {
    if (oci::layer_compression(layer.media_type) != oci::Compression::None) {
        store.toc(layer, diff_id);
    } else if (layer.digest != diff_id) {
        fail(ErrorKind::Corrupt,
             "a layer hashes to " + layer.digest.str() + ", the config says " + diff_id.str());
    }
}

std::vector<LoadedImage> load_docker(const ImageFiles& files, const std::string& place,
                                     store::Store& store) {
    std::vector<LoadedImage> images;
    for (auto& [image, names] : import_docker_archive(files, place, store)) {
        for (std::size_t i = 0; i < image.manifest.layers.size(); ++i)
            in_context(
                [&] { return "docker-archive " + place; },
                [&] { check_layer(image.manifest.layers[i], image.config.diff_ids[i], store); });
        images.push_back({image.descriptor, {}, image.manifest.config.digest});
        for (const auto& name : names)
            images.back().names.push_back(oci::Reference::parse(name));
    }
    return images;
}

// Files that tell of what is read of them.
class ToldFiles final : public ImageFiles {
  public:
    ToldFiles(std::unique_ptr<ImageFiles> files, const OnCopied& on_copied)
        : files_(std::move(files)), on_copied_(on_copied) {}
    bool has(const std::string& name) const override { return files_->has(name); }
    codec::Source open(const std::string& name) const override {
        return told(files_->open(name), name, 0, on_copied_);
    }

  private:
    const std::unique_ptr<ImageFiles> files_;
    const OnCopied on_copied_;
};

}  // namespace

std::vector<LoadedImage> load_images(const std::string& path, store::Store& store,
                                     const OnCopied& on_copied) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw_errno("stat", path);
    auto files = S_ISDIR(status.st_mode) ? files_of_directory(path) : files_of_archive(path);
    if (on_copied) files = std::make_unique<ToldFiles>(std::move(files), on_copied);
    std::vector<LoadedImage> images;
    // A layout names its blobs by digest, which docker's own list does not.
    if (files->has("index.json"))
        images = load_layout(OciLayout(path, std::move(files)), store);
    else if (files->has("manifest.json"))
        images = load_docker(*files, path, store);
    else
        fail(ErrorKind::NotFound,
             path + ": neither an OCI layout (index.json) nor an archive of docker save "
                    "(manifest.json)");
    if (images.empty()) fail(ErrorKind::NotFound, path + ": there is no image in it");
    return images;
}

}  // namespace shale::build
