// Archives and directories: the OCI layout, what `docker load` reads, and plain trees.
//
// A docker archive carries its layers uncompressed unless told otherwise, as `docker save` does:
// every docker version loads those, and they stream out of the store without a temporary copy.
#include "export.hpp"
#include "key.hpp"
#include "step.hpp"
#include "tree_tar.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <set>

namespace shale::build {
namespace {

constexpr std::size_t kCopyBytes = 1 << 20;

void pump(const codec::Source& source, const codec::Sink& sink) {
    std::vector<std::byte> buffer(kCopyBytes);
    while (const auto count = source(buffer))
        sink(Bytes(buffer).first(count));
}

codec::Source blob_source(store::Store& store, const oci::Descriptor& blob) {
    auto offset = std::make_shared<std::uint64_t>(0);
    return [&store, blob, offset](MutableBytes out) {
        const auto count = std::min<std::uint64_t>(out.size(), blob.size - *offset);
        store.read_blob(blob.digest, *offset, out.first(count));
        *offset += count;
        return static_cast<std::size_t>(count);
    };
}

codec::Source layer_tar(store::Store& store, const oci::Descriptor& layer, const Digest& diff_id) {
    // The TOC is captured with the source: it must live as long.
    const auto toc = store.toc(layer, diff_id);
    const auto source = layer::tar_stream(store.framed(), layer.digest, *toc);
    return [toc, source](MutableBytes out) { return source(out); };
}

// One file of an archive in the making.
struct Part {
    std::string path;
    std::uint64_t size = 0;
    std::function<codec::Source()> open;
};

codec::Source text_source(std::string text) {
    auto left = std::make_shared<std::pair<std::string, std::size_t>>(std::move(text), 0);
    return [left](MutableBytes out) {
        auto& [bytes, at] = *left;
        const auto count = std::min(out.size(), bytes.size() - at);
        std::copy_n(as_bytes(bytes).begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
        at += count;
        return count;
    };
}

Part text_part(std::string path, const std::string& text) {
    return {std::move(path), text.size(), [text] { return text_source(text); }};
}

std::string blob_name(const Digest& digest) {
    return "blobs/sha256/" + digest.hex();
}

std::string index_json(const FinalImage& image, const std::vector<oci::Reference>& names) {
    oci::Index index;
    if (names.empty()) index.manifests.push_back(image.descriptor);
    for (const auto& name : names) {
        auto descriptor = image.descriptor;
        descriptor.annotations["io.containerd.image.name"] = name.str();
        descriptor.annotations["org.opencontainers.image.ref.name"] = name.tag;
        index.manifests.push_back(std::move(descriptor));
    }
    return oci::encode(index);
}

std::string docker_manifest(const FinalImage& image, const std::vector<oci::Reference>& names,
                            const std::vector<std::string>& layer_paths) {
    nlohmann::ordered_json entry;
    entry["Config"] = blob_name(image.manifest.config.digest);
    entry["RepoTags"] = nlohmann::json::array();
    for (const auto& name : names)
        entry["RepoTags"].push_back(name.familiar());
    entry["Layers"] = layer_paths;
    return nlohmann::ordered_json::array({entry}).dump();
}

std::vector<Part> oci_parts(store::Store& store, const FinalImage& image,
                            const std::vector<oci::Reference>& names) {
    std::vector<Part> parts;
    for (const auto& layer : image.manifest.layers)
        parts.push_back({blob_name(layer.digest), layer.size,
                         [&store, layer] { return blob_source(store, layer); }});
    parts.push_back(text_part(blob_name(image.manifest.config.digest), image.config_json));
    parts.push_back(text_part(blob_name(image.descriptor.digest), image.manifest_json));
    parts.push_back(text_part("index.json", index_json(image, names)));
    parts.push_back(text_part("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
    return parts;
}

std::vector<Part> docker_parts(store::Store& store, const Output& output, const FinalImage& image,
                               const std::vector<oci::Reference>& names) {
    std::vector<Part> parts;
    std::vector<std::string> layer_paths;
    for (std::size_t i = 0; i < image.manifest.layers.size(); ++i) {
        const auto layer = image.manifest.layers[i];
        const auto diff_id = image.diff_ids[i];
        Part part;
        if (output.compression && *output.compression != oci::Compression::None) {
            part = {blob_name(layer.digest), layer.size,
                    [&store, layer] { return blob_source(store, layer); }};
        } else {
            part = {blob_name(diff_id), store.toc(layer, diff_id)->tar_bytes,
                    [&store, layer, diff_id] { return layer_tar(store, layer, diff_id); }};
        }
        layer_paths.push_back(part.path);
        parts.push_back(std::move(part));
    }
    parts.push_back(text_part(blob_name(image.manifest.config.digest), image.config_json));
    parts.push_back(text_part("manifest.json", docker_manifest(image, names, layer_paths)));
    return parts;
}

void write_parts(const std::vector<Part>& parts, const codec::Sink& sink) {
    std::set<std::string> written_paths;
    for (const auto& part : parts) {
        if (!written_paths.insert(part.path).second) continue;  // two equal layers are one blob
        tar::Member member;
        member.path = part.path;
        member.mode = 0644;
        member.size = part.size;
        sink(as_bytes(tar::encode_header(member)));
        std::uint64_t written = 0;
        pump(part.open(), [&](Bytes bytes) {
            written += bytes.size();
            sink(bytes);
        });
        if (written != part.size)
            fail(ErrorKind::Corrupt,
                 fmt::format("{}: {} bytes instead of {}", part.path, written, part.size));
        sink(as_bytes(std::string(tar::padding(written), '\0')));
    }
    sink(as_bytes(std::string(tar::kTrailerBytes, '\0')));
}

// Calls `body` with a sink that ends in `destination`, which appears when `body` returns.
void write_result(const std::string& destination,
                  const std::function<void(const codec::Sink&)>& body) {
    OutputFile file(destination);
    body([&](Bytes bytes) { file.write(bytes); });
    file.commit(OutputFile::Durability::NotSynced);
}

void write_parts_to_directory(const std::vector<Part>& parts, const std::string& directory) {
    for (const auto& part : parts) {
        const auto path = join_path(directory, part.path);
        make_directories(path.substr(0, path.rfind('/')));
        write_result(path, [&](const codec::Sink& sink) { pump(part.open(), sink); });
    }
}

}  // namespace

oci::Descriptor recompress(Session& session, const oci::Descriptor& layer, const Digest& diff_id,
                           oci::Compression compression, std::optional<int> level) {
    auto& store = session.services.store;
    const auto key = Key("recompress")
                         .add("layer", layer.digest)
                         .add("compression", oci::compression_name(compression))
                         .add("level", static_cast<std::uint64_t>(level.value_or(-1)))
                         .finish();
    if (const auto known = store.find_step(key); known && known->layer) return *known->layer;
    auto writer = store.new_blob();
    const codec::Sink sink = [&](Bytes bytes) { writer.write(bytes); };
    if (compression == oci::Compression::Zstd) {
        layer::WriteOptions options;
        options.level = level.value_or(options.level);
        layer::reframe(layer_tar(store, layer, diff_id), layer.digest.str(), options, sink);
    } else {
        constexpr int kGzipLevel = 6;  // zlib's default, and what gzip(1) and docker use
        codec::StreamCompressor stream(compression == oci::Compression::Gzip
                                           ? codec::StreamFormat::Gzip
                                           : codec::StreamFormat::Plain,
                                       level.value_or(kGzipLevel), sink);
        pump(layer_tar(store, layer, diff_id), [&](Bytes bytes) { stream.write(bytes); });
        stream.finish();
    }
    oci::Descriptor made;
    made.media_type = oci::layer_media_type(compression);
    made.size = writer.size();
    made.digest = writer.commit();
    store::StepRecord record;
    record.tree = store.put_tree(snapshot::TreeBuilder().finish());  // a layer alone: no root
    record.sources = {made.digest};
    record.layer = made;
    record.diff_id = diff_id;
    record.created_ns = session.services.clock.now_ns();
    record.name = "recompress " + std::string(oci::compression_name(compression));
    store.put_step(key, record);
    return made;
}

void write_archive(Session& session, const Output& output, const FinalImage& image,
                   const std::vector<oci::Reference>& names) {
    auto& store = session.services.store;
    const auto parts = output.type == OutputType::Docker ? docker_parts(store, output, image, names)
                                                         : oci_parts(store, image, names);
    if (output.as_directory)
        write_parts_to_directory(parts, output.destination);
    else
        write_result(output.destination,
                     [&](const codec::Sink& sink) { write_parts(parts, sink); });
}

void write_tree(Session& session, const Output& output, Root& root) {
    auto& store = session.services.store;
    const auto& loaded = root.load();
    layer::ContentReader contents(store.content_index(loaded.sources), store.framed());
    TreeTarOptions options;
    options.own_by_caller = output.type == OutputType::Local;
    if (session.request.source_date_epoch)
        options.clamp_mtime_ns = *session.request.source_date_epoch * 1'000'000'000;
    const auto stream = tree_tar(*loaded.tree, contents, options);
    if (output.type == OutputType::Local) {
        make_directories(output.destination);
        layer::apply(stream, "build result", output.destination);
    } else {
        write_result(output.destination, [&](const codec::Sink& sink) { pump(stream, sink); });
    }
}

}  // namespace shale::build
