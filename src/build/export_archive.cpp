// Archives: an OCI layout as a tar or a directory. With type=docker it also holds what older
// versions of `docker load` read.
#include "export.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <set>

namespace shale::build {
namespace {

// Corrupt at the end if the store's file is not the blob any more: nobody else would notice.
codec::Source blob_source(store::Store& store, const oci::Descriptor& blob) {
    struct State {
        std::uint64_t offset = 0;
        codec::Sha256 hash;
    };
    auto state = std::make_shared<State>();
    return [&store, blob, state](MutableBytes out) {
        const auto count = std::min<std::uint64_t>(out.size(), blob.size - state->offset);
        store.read_blob(blob.digest, state->offset, out.first(count));
        state->hash.update(out.first(count));
        state->offset += count;
        if (count > 0 && state->offset == blob.size)
            if (const auto found = state->hash.finish(); found != blob.digest)
                fail(ErrorKind::Corrupt, "blob " + blob.digest.str() +
                                             " is damaged in the store: it hashes to " +
                                             found.str());
        return static_cast<std::size_t>(count);
    };
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

// The entry point: one descriptor for each name, of the same image or index.
std::string entry_json(const FinalResult& result, const std::vector<oci::Reference>& names) {
    oci::Index index;
    if (names.empty()) index.manifests.push_back(result.descriptor);
    for (const auto& name : names) {
        auto descriptor = result.descriptor;
        descriptor.annotations["io.containerd.image.name"] = name.str();
        descriptor.annotations["org.opencontainers.image.ref.name"] = name.tag;
        index.manifests.push_back(std::move(descriptor));
    }
    return oci::encode(index);
}

// What `docker load` without a containerd store reads; it knows one platform.
std::string docker_manifest(const FinalImage& image, const std::vector<oci::Reference>& names) {
    nlohmann::ordered_json entry;
    entry["Config"] = blob_name(image.manifest.config.digest);
    entry["RepoTags"] = nlohmann::json::array();
    for (const auto& name : names)
        entry["RepoTags"].push_back(name.familiar());
    entry["Layers"] = nlohmann::json::array();
    for (const auto& layer : image.manifest.layers)
        entry["Layers"].push_back(blob_name(layer.digest));
    return nlohmann::ordered_json::array({entry}).dump();
}

void add_image(std::vector<Part>& parts, store::Store& store, const FinalImage& image) {
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
        const auto& named = image.manifest.layers[i];
        const auto& stored = image.layers[i];
        Part part{blob_name(named.digest), named.size, nullptr};
        if (named.digest == stored.blob.digest)
            part.open = [&store, stored] { return blob_source(store, stored.blob); };
        else
            part.open = [&store, stored] { return layer_tar(store, stored); };
        parts.push_back(std::move(part));
    }
    parts.push_back(text_part(blob_name(image.manifest.config.digest), image.config_json));
    parts.push_back(text_part(blob_name(image.descriptor.digest), image.manifest_json));
    if (!image.attestation) return;
    const auto& attestation = *image.attestation;
    for (std::size_t i = 0; i < attestation.statements.size(); ++i)
        parts.push_back(
            text_part(blob_name(attestation.manifest.layers[i].digest), attestation.statements[i]));
    parts.push_back(
        text_part(blob_name(attestation.manifest.config.digest), attestation.config_json));
    parts.push_back(text_part(blob_name(attestation.descriptor.digest), attestation.manifest_json));
}

std::vector<Part> archive_parts(store::Store& store, const Output& output,
                                const FinalResult& result,
                                const std::vector<oci::Reference>& names) {
    std::vector<Part> parts;
    for (const auto& image : result.images)
        add_image(parts, store, image);
    if (result.is_index())
        parts.push_back(text_part(blob_name(result.descriptor.digest), result.index_json));
    parts.push_back(text_part("index.json", entry_json(result, names)));
    if (output.type == OutputType::Docker)
        parts.push_back(text_part("manifest.json", docker_manifest(result.preferred(), names)));
    parts.push_back(text_part("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
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

void write_parts_to_directory(const std::vector<Part>& parts, const std::string& directory) {
    for (const auto& part : parts) {
        const auto path = join_path(directory, part.path);
        make_directories(path.substr(0, path.rfind('/')));
        write_result(path, [&](const codec::Sink& sink) { pump(part.open(), sink); });
    }
}

}  // namespace

void write_result(const std::string& destination,
                  const std::function<void(const codec::Sink&)>& body) {
    OutputFile file(destination);
    body([&](Bytes bytes) { file.write(bytes); });
    file.commit(OutputFile::Durability::NotSynced);
}

void write_archive(Session& session, const Output& output, const FinalResult& result,
                   const std::vector<oci::Reference>& names) {
    auto parts = archive_parts(session.services.store, output, result, names);
    for (Part& part : parts)
        part.open = [open = std::move(part.open), &session] {
            return stoppable(open(), session.stop);
        };
    if (output.as_directory)
        write_parts_to_directory(parts, output.destination);
    else
        write_result(output.destination,
                     [&](const codec::Sink& sink) { write_parts(parts, sink); });
}

}  // namespace shale::build
