// From images of the store to the parts of an archive.
//
// A layout has the documents and blobs of the store as they are. Docker's form has zstd layers as
// plain tars, and so another manifest than the store's, of the same config: the image ID stays.
#include "archive_parts.hpp"
#include "oci_layout.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace shale::build {
namespace {

std::string document(store::Store& store, const oci::Descriptor& descriptor) {
    return store.read_document(descriptor.digest, oci::kMaxManifestBytes);
}

using Seen = std::set<Digest>;

void add_verbatim(std::vector<Part>& parts, store::Store& store, const oci::Descriptor& root,
                  int depth, Seen& seen) {
    if (!seen.insert(root.digest).second) return;
    const auto json = document(store, root);
    if (oci::is_index(json)) {
        if (depth == kMaxNesting)
            fail(ErrorKind::Unsupported, root.digest.str() + ": indexes in indexes in indexes");
        for (const auto& child : oci::decode_index(json).manifests)
            add_verbatim(parts, store, child, depth + 1, seen);
    } else {
        const auto manifest = oci::decode_manifest(json);
        for (const auto& layer : manifest.layers)
            parts.push_back(blob_part(store, layer));
        parts.push_back(blob_part(store, manifest.config));
    }
    parts.push_back(text_part(blob_name(root.digest), json));
}

// What our store notes about an image is nobody else's business.
std::vector<SavedImage> without_notes(std::vector<SavedImage> images) {
    for (auto& image : images)
        std::erase_if(image.root.annotations,
                      [](const auto& note) { return note.first.starts_with("dev.shale."); });
    return images;
}

std::vector<Part> oci_parts(store::Store& store, const std::vector<SavedImage>& images) {
    std::vector<Part> parts;
    Seen seen;
    for (const auto& image : images)
        add_verbatim(parts, store, image.root, 0, seen);
    parts.push_back(layout_version());
    parts.push_back(layout_index(without_notes(images)));
    return parts;
}

// No docker before 23 loads zstd.
oci::Descriptor as_plain_tar(store::Store& store, const FormedLayer& layer) {
    oci::Descriptor plain;
    plain.media_type = oci::layer_media_type(oci::Compression::None);
    plain.digest = layer.diff_id;
    plain.size = layer_tar_bytes(store, layer);
    return plain;
}

struct ForDocker {
    oci::Manifest manifest;
    SavedImage image;
};

ForDocker add_for_docker(std::vector<Part>& parts, store::Store& store, const SavedImage& image) {
    auto json = document(store, image.root);
    if (oci::is_index(json))
        fail(ErrorKind::Invalid, "the docker form holds the image of one platform, no index");
    ForDocker out{oci::decode_manifest(json), image};
    const auto config = store.config(out.manifest);
    if (config.diff_ids.size() != out.manifest.layers.size())
        fail(ErrorKind::Corrupt,
             image.root.digest.str() + ": manifest and config disagree about the layers");
    bool is_changed = false;
    for (std::size_t i = 0; i < config.diff_ids.size(); ++i) {
        auto& named = out.manifest.layers[i];
        const FormedLayer stored{named, config.diff_ids[i]};
        if (oci::layer_compression(named.media_type) == oci::Compression::Zstd) {
            named = as_plain_tar(store, stored);
            is_changed = true;
        }
        parts.push_back(layer_part(store, named, stored));
    }
    parts.push_back(blob_part(store, out.manifest.config));
    if (is_changed) {
        json = oci::encode(out.manifest);
        out.image.root.digest = codec::sha256(json);
        out.image.root.size = json.size();
    }
    parts.push_back(text_part(blob_name(out.image.root.digest), json));
    return out;
}

std::vector<Part> docker_parts(store::Store& store, const std::vector<SavedImage>& images) {
    std::vector<Part> parts;
    std::vector<ForDocker> made;
    std::vector<SavedImage> named;
    std::vector<DockerImage> list;
    for (const auto& image : images) {
        made.push_back(add_for_docker(parts, store, image));
        named.push_back(made.back().image);
    }
    for (const auto& image : made)
        list.push_back({image.manifest, image.image.names});
    parts.push_back(layout_index(without_notes(named)));
    parts.push_back(docker_list(list));
    parts.push_back(layout_version());
    return parts;
}

// What was seen was whole, or all is over.
bool is_whole(store::Store& store, const oci::Descriptor& root, int depth, Seen& seen) {
    if (!seen.insert(root.digest).second) return true;
    if (!store.has_blob(root.digest)) return false;
    const auto json = document(store, root);
    if (oci::is_index(json)) {
        const auto children = oci::decode_index(json).manifests;
        return depth < kMaxNesting && std::ranges::all_of(children, [&](const auto& child) {
                   return is_whole(store, child, depth + 1, seen);
               });
    }
    const auto manifest = oci::decode_manifest(json);
    return store.has_whole(manifest.config) && store.has_layers_of(manifest);
}

}  // namespace

bool is_whole(store::Store& store, const oci::Descriptor& root) {
    Seen seen;
    return is_whole(store, root, 0, seen);
}

void save_images(store::Store& store, const std::vector<SavedImage>& images, ArchiveForm form,
                 const codec::Sink& out, const std::stop_token& stop, const OnCopied& on_copied) {
    const bool for_docker = form == ArchiveForm::Docker;
    write_parts(for_docker ? docker_parts(store, images) : oci_parts(store, images), out, stop,
                on_copied);
}

void save_layout(store::Store& store, const std::vector<SavedImage>& images,
                 const std::string& directory, const std::stop_token& stop,
                 const OnCopied& on_copied) {
    make_directories(directory);
    if (!std::filesystem::is_empty(directory))
        fail(ErrorKind::Invalid, directory + " is not empty");
    write_parts_to_directory(oci_parts(store, images), directory, stop, on_copied);
}

}  // namespace shale::build
