#include "archive_parts.hpp"

#include "oci_layout.hpp"
#include "stop.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

namespace shale::build {
namespace {

// Nobody else would notice that the store's file is not the blob any more.
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

constexpr std::uint64_t kTellEvery = 1 << 20;
constexpr std::string_view kBlobs = "blobs/sha256/";  // of a layout

}  // namespace

codec::Source told(codec::Source source, const std::string& path, std::uint64_t total,
                   const OnCopied& on_copied) {
    if (!on_copied || (total > 0 && total < kTellEvery)) return source;
    const auto what = path.starts_with(kBlobs) ? "sha256:" + path.substr(kBlobs.size()) : path;
    return [source = std::move(source), what, total, on_copied, read = std::uint64_t{0},
            next = kTellEvery](MutableBytes out) mutable {
        const auto count = source(out);
        read += count;
        if (read >= next || (count == 0 && read >= kTellEvery)) {
            next = read + kTellEvery;
            on_copied(what, read, total);
        }
        return count;
    };
}

std::string blob_name(const Digest& digest) {
    return std::string(kBlobs) + digest.hex();
}

Part text_part(std::string path, const std::string& text) {
    return {std::move(path), text.size(), [text] { return text_source(text); }};
}

Part blob_part(store::Store& store, const oci::Descriptor& blob) {
    return {blob_name(blob.digest), blob.size, [&store, blob] { return blob_source(store, blob); }};
}

Part layer_part(store::Store& store, const oci::Descriptor& named, const FormedLayer& stored) {
    if (named.digest == stored.blob.digest) return blob_part(store, stored.blob);
    return {blob_name(named.digest), named.size,
            [&store, stored] { return layer_tar(store, stored); }};
}

Part layout_index(const std::vector<SavedImage>& images) {
    oci::Index index;
    for (const auto& image : images) {
        if (image.names.empty()) index.manifests.push_back(image.root);
        for (const auto& name : image.names) {
            auto descriptor = image.root;
            descriptor.annotations[kContainerdName] = name.str();
            descriptor.annotations[kRefName] = name.tag;
            index.manifests.push_back(std::move(descriptor));
        }
    }
    return text_part("index.json", oci::encode(index));
}

Part layout_version() {
    return text_part("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

Part docker_list(const std::vector<DockerImage>& images) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& image : images) {
        nlohmann::ordered_json entry;
        entry["Config"] = blob_name(image.manifest.config.digest);
        entry["RepoTags"] = nlohmann::json::array();
        for (const auto& name : image.names)
            entry["RepoTags"].push_back(name.familiar());
        entry["Layers"] = nlohmann::json::array();
        for (const auto& layer : image.manifest.layers)
            entry["Layers"].push_back(blob_name(layer.digest));
        list.push_back(std::move(entry));
    }
    return text_part("manifest.json", list.dump());
}

void write_parts(const std::vector<Part>& parts, const codec::Sink& sink,
                 const std::stop_token& stop, const OnCopied& on_copied) {
    std::set<std::string> written_paths;
    for (const auto& part : parts) {
        if (!written_paths.insert(part.path).second) continue;  // two equal layers are one blob
        tar::Member member;
        member.path = part.path;
        member.mode = 0644;
        member.size = part.size;
        sink(as_bytes(tar::encode_header(member)));
        std::uint64_t written = 0;
        pump(stoppable(told(part.open(), part.path, part.size, on_copied), stop), [&](Bytes bytes) {
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

void write_parts_to_directory(const std::vector<Part>& parts, const std::string& directory,
                              const std::stop_token& stop, const OnCopied& on_copied) {
    blobs_directory(directory);
    for (const auto& part : parts) {
        write_layout_file(join_path(directory, part.path),
                          stoppable(told(part.open(), part.path, part.size, on_copied), stop));
    }
}

std::string blobs_directory(const std::string& directory) {
    make_directories(directory);
    std::string path = directory;
    for (const char* name : {"blobs", "sha256"}) {
        path = join_path(path, name);
        struct stat status {};
        if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) throw_errno("mkdir", path);
        if (::lstat(path.c_str(), &status) != 0) throw_errno("lstat", path);
        if (!S_ISDIR(status.st_mode)) fail(ErrorKind::Invalid, path + " is no directory");
    }
    return path;
}

void write_layout_file(const std::string& path, const codec::Source& source) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) &&
        ::unlink(path.c_str()) != 0)
        throw_errno("unlink", path);
    write_result(path, [&](const codec::Sink& sink) { pump(source, sink); });
}

void write_result(const std::string& destination,
                  const std::function<void(const codec::Sink&)>& body) {
    OutputFile file(destination);
    body([&](Bytes bytes) { file.write(bytes); });
    file.commit(OutputFile::Durability::NotSynced);
}

}  // namespace shale::build
