#include "docker_archive.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace shale::build {
namespace {

constexpr const char* kList = "manifest.json";
constexpr std::size_t kMaxLayers = 2000;
constexpr std::size_t kBufferBytes = 1 << 20;

// One element of manifest.json.
struct Listed {
    std::string config;
    std::vector<std::string> names, layers;
};

std::vector<std::string> texts(const oci::Json& entry, const std::string& name) {
    std::vector<std::string> out;
    if (const auto list = entry.find(name))
        for (const auto& item : list->items())
            out.push_back(item.string());
    return out;
}

std::vector<Listed> read_list(const ImageFiles& files) {
    std::vector<Listed> out;
    const auto json = oci::Json::parse(files.document(kList, oci::kMaxManifestBytes), kList);
    for (const auto& entry : json.items()) {
        const auto config = entry.find("Config");
        if (!config) entry.corrupt("it names no Config");
        out.push_back({config->string(), texts(entry, "RepoTags"), texts(entry, "Layers")});
        if (out.back().layers.size() > kMaxLayers) entry.corrupt("too many layers");
    }
    return out;
}

const Listed& choose(const std::vector<Listed>& all, std::string_view name,
                     const std::string& place) {
    if (name.empty() && all.size() == 1) return all.front();
    std::string names;
    // Some tools write names as docker shows them, others in full.
    const auto familiar = name.empty() ? "" : oci::Reference::parse(name).familiar();
    const auto full = name.empty() ? "" : oci::Reference::parse(name).str();
    for (const auto& image : all)
        for (const auto& tag : image.names) {
            if (!name.empty() && (tag == full || tag == familiar)) return image;
            names += (names.empty() ? "" : ", ") + tag;
        }
    const auto wanted =
        name.empty() ? "one of several images must be named" : "no image \"" + familiar + '"';
    fail(ErrorKind::NotFound,
         place + ": " + wanted + (names.empty() ? "" : "; there are " + names));
}

// The file as a layer blob of the store.
oci::Descriptor copy_layer(const ImageFiles& files, const std::string& name, store::Store& store) {
    const auto source = files.open(name);
    auto writer = store.new_blob();
    std::vector<std::byte> buffer(kBufferBytes);
    std::array<std::byte, 16> magic{};
    while (const auto count = source(buffer)) {
        if (writer.size() == 0)
            std::copy_n(buffer.begin(), std::min(count, magic.size()), magic.begin());
        writer.write(Bytes(buffer).first(count));
    }
    const auto format = codec::sniff(magic);
    if (format != codec::StreamFormat::Plain && format != codec::StreamFormat::Gzip &&
        format != codec::StreamFormat::Zstd)
        fail(ErrorKind::Unsupported, name + ": no layer is compressed so");
    oci::Descriptor layer;
    layer.media_type =
        oci::layer_media_type(format == codec::StreamFormat::Plain  ? oci::Compression::None
                              : format == codec::StreamFormat::Gzip ? oci::Compression::Gzip
                                                                    : oci::Compression::Zstd);
    layer.size = writer.size();
    layer.digest = writer.commit();
    return layer;
}

oci::Descriptor put_document(store::Store& store, const std::string& json,
                             std::string_view media_type) {
    oci::Descriptor out;
    out.media_type = media_type;
    out.size = json.size();
    out.digest = store.put_blob(as_bytes(json));
    return out;
}

ResolvedImage import_listed(const ImageFiles& files, const Listed& listed, store::Store& store) {
    const auto config = files.document(listed.config, oci::kMaxConfigBytes);
    ResolvedImage image;
    image.config = oci::decode_config(config);
    if (image.config.diff_ids.size() != listed.layers.size())
        fail(ErrorKind::Corrupt, "manifest.json and config disagree about the layers");
    image.manifest.config = put_document(store, config, oci::media::kConfig);
    for (const auto& layer : listed.layers)
        image.manifest.layers.push_back(copy_layer(files, layer, store));
    image.descriptor = put_document(store, oci::encode(image.manifest), oci::media::kManifest);
    return image;
}

template <typename Body>
auto with_list(const ImageFiles& files, const std::string& place, const Body& body) {
    const auto describe = [&] { return "docker-archive " + place; };
    return in_context(describe, [&] {
        if (!files.has(kList)) fail(ErrorKind::NotFound, "it has no manifest.json");
        const auto all = read_list(files);
        if (all.empty()) fail(ErrorKind::NotFound, "its manifest.json lists no image");
        return body(all);
    });
}

}  // namespace

ResolvedImage import_docker_archive(const ImageFiles& files, const std::string& place,
                                    std::string_view name, store::Store& store) {
    return with_list(files, place, [&](const std::vector<Listed>& all) {
        return import_listed(files, choose(all, name, place), store);
    });
}

std::vector<std::pair<ResolvedImage, std::vector<std::string>>>
import_docker_archive(const ImageFiles& files, const std::string& place, store::Store& store) {
    return with_list(files, place, [&](const std::vector<Listed>& all) {
        std::vector<std::pair<ResolvedImage, std::vector<std::string>>> images;
        for (const auto& listed : all)
            images.emplace_back(import_listed(files, listed, store), listed.names);
        return images;
    });
}

}  // namespace shale::build
