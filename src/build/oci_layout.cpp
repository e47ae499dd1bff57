#include "oci_layout.hpp"

#include "archive_parts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::build {
namespace {

constexpr std::size_t kMaxImages = 64;  // platforms of one index; nobody has as many

std::string ref_name(const oci::Descriptor& descriptor) {
    const auto found = descriptor.annotations.find(kRefName);
    return found == descriptor.annotations.end() ? std::string() : found->second;
}

// Some tools write the tag there, others the whole name.
bool bears_tag(const oci::Descriptor& descriptor, const std::string& tag) {
    const auto name = ref_name(descriptor);
    return name == tag || name.ends_with(":" + tag);
}

}  // namespace

std::vector<oci::Descriptor> OciLayout::listed() const {
    if (!files_->has("index.json"))
        fail(ErrorKind::NotFound, describe() + ": there is no OCI layout (no index.json)");
    return in_context([&] { return describe(); },
                      [&] {
                          return oci::decode_index(
                                     files_->document("index.json", oci::kMaxManifestBytes))
                              .manifests;
                      });
}

oci::Descriptor OciLayout::choose(const oci::Reference& name) const {
    const auto all = listed();
    if (name.digest) {
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const auto& d) { return d.digest == *name.digest; });
        if (found != all.end()) return *found;
        oci::Descriptor unlisted;
        unlisted.digest = *name.digest;
        return unlisted;  // its blob will tell
    }
    const std::string tag = name.tag.empty() ? "latest" : name.tag;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& d) { return bears_tag(d, tag); });
    if (found != all.end()) return *found;
    // One image under several names is one.
    if (name.tag.empty() && !all.empty() &&
        std::ranges::all_of(all, [&](const auto& d) { return d.digest == all.front().digest; }))
        return all.front();
    std::string tags;
    for (const auto& descriptor : all)
        if (const auto other = ref_name(descriptor); !other.empty())
            tags += (tags.empty() ? "" : ", ") + other;
    fail(ErrorKind::NotFound,
         describe() + ": no image \"" + tag + "\"" + (tags.empty() ? "" : "; there are " + tags));
}

void OciLayout::copy_blob(const oci::Descriptor& blob, store::Store& store,
                          std::uint64_t most) const {
    if (store.has_blob(blob.digest) &&
        (blob.size == 0 || store.blob_size(blob.digest) == blob.size))
        return;
    in_context([&] { return describe(); },
               [&] {
                   const auto read = files_->open(blob_name(blob.digest));
                   auto writer = store.new_blob();
                   std::vector<std::byte> buffer(1 << 20);
                   while (const auto count = read(buffer)) {
                       writer.write(Bytes(buffer).first(count));
                       if (blob.size > 0 && writer.size() > blob.size)
                           fail(ErrorKind::Corrupt,
                                fmt::format("blob {} has more than the {} bytes that are stated",
                                            blob.digest.str(), blob.size));
                       if (writer.size() > most)
                           fail(ErrorKind::Invalid, fmt::format("blob {} has more than {} bytes",
                                                                blob.digest.str(), most));
                   }
                   writer.commit(blob.digest);
               });
}

std::string OciLayout::document(const oci::Descriptor& descriptor, std::uint64_t limit,
                                store::Store& store) const {
    copy_blob(descriptor, store, limit);
    return store.read_document(descriptor.digest, limit);
}

ResolvedImage OciLayout::resolve(const oci::Reference& name, const oci::Platform& platform,
                                 store::Store& store) {
    auto descriptor = choose(name);
    auto json = document(descriptor, oci::kMaxManifestBytes, store);
    for (int depth = 0; oci::is_index(json); ++depth) {
        const auto chosen = oci::select_platform(oci::decode_index(json), platform);
        if (!chosen || depth == kMaxNesting)
            fail(ErrorKind::NotFound, describe() +
                                          ": no match for platform in manifest: not found (" +
                                          platform.str() + ")");
        descriptor = *chosen;
        json = document(descriptor, oci::kMaxManifestBytes, store);
    }
    return image_of(descriptor, json, store);
}

ResolvedImage OciLayout::image_of(const oci::Descriptor& descriptor, const std::string& json,
                                  store::Store& store) const {
    ResolvedImage image{descriptor, oci::decode_manifest(json), {}};
    image.descriptor.size = json.size();
    image.config = oci::decode_config(document(image.manifest.config, oci::kMaxConfigBytes, store));
    if (image.manifest.layers.size() != image.config.diff_ids.size())
        fail(ErrorKind::Corrupt, describe() + ": manifest and config disagree about the layers");
    return image;
}

std::vector<ResolvedImage> OciLayout::resolve_all(const oci::Reference& name, store::Store& store) {
    const auto root = choose(name);
    const auto json = document(root, oci::kMaxManifestBytes, store);
    if (!oci::is_index(json)) return {image_of(root, json, store)};
    std::vector<ResolvedImage> images;
    for (const auto& child : oci::decode_index(json).manifests) {
        if (oci::is_attestation(child)) continue;
        if (images.size() == kMaxImages)
            fail(ErrorKind::Corrupt,
                 describe() + ": an index of more than " + std::to_string(kMaxImages) + " images");
        images.push_back(image_of(child, document(child, oci::kMaxManifestBytes, store), store));
    }
    return images;
}

Digest OciLayout::copy_image(const oci::Descriptor& root, store::Store& store) const {
    Copied copied;
    return copy_image(root, store, 0, copied);
}

Digest OciLayout::copy_image(const oci::Descriptor& root, store::Store& store, int depth,
                             Copied& copied) const {
    if (const auto known = copied.find(root.digest); known != copied.end()) return known->second;
    const auto json = document(root, oci::kMaxManifestBytes, store);
    if (!oci::is_index(json)) {
        // Statements about images are manifests, too, of other things than layers.
        const auto manifest = oci::decode_manifest(json);
        if (oci::is_attestation(root))
            copy_blob(manifest.config, store);
        else
            image_of(root, json, store);
        for (const auto& layer : manifest.layers)
            copy_layer(layer, store);
        return copied[root.digest] = manifest.config.digest;
    }
    const auto children = oci::decode_index(json).manifests;
    if (depth == kMaxNesting || children.size() > kMaxImages)
        fail(ErrorKind::Unsupported, describe() + ": an index of too many images");
    std::optional<Digest> first;
    for (const auto& child : children) {
        if (!files_->has(blob_name(child.digest))) continue;
        const auto config = copy_image(child, store, depth + 1, copied);
        if (!first && !oci::is_attestation(child)) first = config;
    }
    if (!first) fail(ErrorKind::NotFound, describe() + ": it has no image of " + root.digest.str());
    return copied[root.digest] = *first;
}

void OciLayout::copy_layer(const oci::Descriptor& layer, store::Store& store) const {
    copy_blob(layer, store);
    if (!store.has_whole(layer))
        fail(ErrorKind::Corrupt, describe() + ": layer " + layer.digest.str() +
                                     " has not the size that its manifest states");
}

void OciLayout::copy_layers(const ResolvedImage& image, store::Store& store) {
    for (const auto& layer : image.manifest.layers)
        copy_layer(layer, store);
}

}  // namespace shale::build
