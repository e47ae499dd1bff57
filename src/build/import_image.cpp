// From "oci:DIR:TAG" and its like to an image in the store.
#include "docker_archive.hpp"
#include "image_files.hpp"
#include "oci_layout.hpp"

namespace shale::build {
namespace {

constexpr std::string_view kDirectory = "oci:";
constexpr std::string_view kOciArchive = "oci-archive:";
constexpr std::string_view kDockerArchive = "docker-archive:";

struct Place {
    std::string path;
    std::string name;  // what follows the ':' behind the path
    std::optional<Digest> digest;
};

// Paths and names may both hold colons: the path is the shortest part that exists.
Place split_place(std::string_view text) {
    Place place;
    if (const auto at = text.rfind("@sha256:"); at != std::string_view::npos) {
        place.digest = Digest::parse(text.substr(at + 1));
        text = text.substr(0, at);
    }
    for (auto colon = text.find(':'); colon != std::string_view::npos;
         colon = text.find(':', colon + 1)) {
        place.path = text.substr(0, colon);
        if (!path_exists(place.path)) continue;
        place.name = text.substr(colon + 1);
        return place;
    }
    place.path = text;
    return place;
}

ImportedImage import_layout(OciLayout layout, const Place& place, const oci::Platform& platform,
                            store::Store& store) {
    oci::Reference name;
    name.tag = place.name;
    name.digest = place.digest;
    ImportedImage out;
    out.root = layout.choose(name);
    out.image = layout.resolve(name, platform, store);
    layout.copy_layers(out.image, store);
    return out;
}

}  // namespace

bool is_image_place(std::string_view text) {
    return text.starts_with(kDirectory) || text.starts_with(kOciArchive) ||
           text.starts_with(kDockerArchive);
}

ImportedImage import_image(std::string_view text, const oci::Platform& platform,
                           store::Store& store) {
    SHALE_ENSURE(is_image_place(text));
    const auto kind = text.substr(0, text.find(':') + 1);
    const auto place = split_place(text.substr(kind.size()));
    if (!path_exists(place.path))
        fail(ErrorKind::NotFound, std::string(text) + ": there is no " + place.path);
    if (kind == kDirectory) return import_layout(OciLayout(place.path), place, platform, store);
    auto files = files_of_archive(place.path);
    if (kind == kOciArchive)
        return import_layout(OciLayout(place.path, std::move(files)), place, platform, store);
    ImportedImage out;
    out.image = import_docker_archive(*files, place.path, place.name, store);
    out.root = out.image.descriptor;
    return out;
}

}  // namespace shale::build
