// Pull and push: the only place where the registry client and the store meet. Documents are small
// and come first; layers follow, several at a time, and the tag moves when everything is there.

#include <shale/build.hpp>
#include <shale/codec.hpp>
#include <shale/parallel.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace shale::build {
namespace {

// As many transfers at a time as docker makes; more gain nothing against one registry.
constexpr std::size_t kTransfers = 3;

void check_layers(const oci::Reference& name, const ResolvedImage& image) {
    if (image.manifest.layers.size() != image.config.diff_ids.size())
        fail(ErrorKind::Corrupt, name.str() + ": manifest " + image.descriptor.digest.str() +
                                     " has " + std::to_string(image.manifest.layers.size()) +
                                     " layers but its config lists " +
                                     std::to_string(image.config.diff_ids.size()) + " diff IDs");
}

// An image that does not say what it is for fits everything.
bool fits(const oci::Platform& image, const oci::Platform& wanted) {
    const auto has = image.normalized(), needs = wanted.normalized();
    if (image.os.empty() && image.architecture.empty()) return true;
    return has.os == needs.os && has.architecture == needs.architecture &&
           (has.variant.empty() || needs.variant.empty() || has.variant == needs.variant);
}

// Reads a blob of the store from its start, as push_blob wants it.
std::function<std::size_t(MutableBytes)> blob_reader(const std::string& path) {
    auto fd = std::make_shared<UniqueFd>(open_file(path, O_RDONLY));
    return [fd, path](MutableBytes out) {
        for (;;) {
            const ssize_t count = ::read(fd->get(), out.data(), out.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) throw_errno("read", path);
        }
    };
}

}  // namespace

ResolvedImage Images::resolve(const oci::Reference& name, const oci::Platform& platform,
                              bool refresh) {
    const auto local = refresh ? std::nullopt : stored(name, platform);
    if (local && fits(local->config.platform, platform)) return *local;
    registry::RemoteManifest remote;
    try {
        remote = client_.fetch_manifest(name);
    } catch (const Error& error) {
        // Better the image that is here, for whatever platform, than none; the caller warns.
        if (!local || error.kind() == ErrorKind::Cancelled) throw;
        return *local;
    }
    if (oci::is_index(remote.json)) {
        const auto chosen = oci::select_platform(oci::decode_index(remote.json), platform);
        if (!chosen)
            fail(ErrorKind::NotFound, name.str() +
                                          ": no match for platform in manifest: not found (" +
                                          platform.str() + ")");
        auto exact = name;
        exact.digest = chosen->digest;
        remote = client_.fetch_manifest(exact);
    }
    return take(name, remote);
}

ResolvedImage Images::take(const oci::Reference& name, const registry::RemoteManifest& remote) {
    ResolvedImage image{remote.descriptor, oci::decode_manifest(remote.json), {}};
    const auto& config = image.manifest.config;
    if (config.size > oci::kMaxConfigBytes)
        fail(ErrorKind::Corrupt, name.str() + ": config " + config.digest.str() + " claims " +
                                     format_size(config.size));
    if (!store_.has_blob(config.digest)) {
        auto writer = store_.new_blob();
        client_.fetch_blob(name, config, [&](Bytes bytes) { writer.write(bytes); });
        writer.commit(config.digest);
    }
    store_.put_blob(as_bytes(remote.json));
    image.config = store_.config(image.manifest);
    check_layers(name, image);
    return image;
}

std::vector<ResolvedImage> Images::resolve_all(const oci::Reference& name) {
    constexpr std::size_t kMaxImages = 64;  // platforms of one index; nobody has as many
    const auto remote = client_.fetch_manifest(name);
    if (!oci::is_index(remote.json)) return {take(name, remote)};
    std::vector<ResolvedImage> images;
    for (const auto& child : oci::decode_index(remote.json).manifests) {
        if (oci::is_attestation(child)) continue;
        if (images.size() == kMaxImages)
            fail(ErrorKind::Corrupt,
                 name.str() + ": an index of more than " + std::to_string(kMaxImages) + " images");
        auto exact = name;
        exact.digest = child.digest;
        images.push_back(take(exact, client_.fetch_manifest(exact)));
    }
    return images;
}

void Images::pull_blob(const oci::Reference& name, const oci::Descriptor& blob, Tracker& tracker,
                       VertexId vertex) {
    if (store_.has_whole(blob)) return;
    auto writer = store_.new_blob();
    std::uint64_t reported = 0;
    client_.fetch_blob(name, blob, [&](Bytes bytes) {
        writer.write(bytes);
        constexpr std::uint64_t kReportEvery = 1 << 20;
        if (writer.size() - reported < kReportEvery) return;
        reported = writer.size();
        tracker.progress().status(vertex, blob.digest.str(), reported, blob.size);
    });
    writer.commit(blob.digest);
    tracker.progress().status(vertex, blob.digest.str(), blob.size, blob.size);
}

// nullopt also if documents of it are missing or impossible: the registry has them.
std::optional<ResolvedImage> Images::stored(const oci::Reference& name,
                                            const oci::Platform& platform) {
    try {
        auto local = store_.resolve(name);
        if (!local) return std::nullopt;
        const auto json = store_.read_document(local->digest, oci::kMaxManifestBytes);
        if (oci::is_index(json)) local = oci::select_platform(oci::decode_index(json), platform);
        if (!local) return std::nullopt;
        ResolvedImage image{*local, store_.manifest(*local), {}};
        image.config = store_.config(image.manifest);
        check_layers(name, image);
        return image;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::Corrupt) throw;
        log(LogLevel::Warn, name.familiar() + " in the store is not whole: " + error.what());
        return std::nullopt;
    }
}

void Images::pull_layers(const oci::Reference& name, const ResolvedImage& image, Tracker& tracker,
                         VertexId vertex, Tagging tagging) {
    check_layers(name, image);
    const auto& layers = image.manifest.layers;
    for_each_parallel(layers.size(), kTransfers,
                      [&](std::size_t i) { pull_blob(name, layers[i], tracker, vertex); });
    // A build brings its bases along and remembers them by name, but a name that the user has given
    // to an image stays where it is.
    if (tagging == Tagging::Always || !store_.resolve(name)) store_.tag(name, image.descriptor);
}

ResolvedImage Images::pull(const oci::Reference& name, const oci::Platform& platform,
                           Tracker& tracker) {
    ResolvedImage image;
    tracker.run("pulling " + name.str(), [&](VertexId vertex) {
        image = resolve(name, platform, true);
        if (!fits(image.config.platform, platform))
            fail(ErrorKind::NotFound, "image with reference " + name.familiar() +
                                          " was found but does not match the specified platform: "
                                          "wanted " +
                                          platform.str() +
                                          ", actual: " + image.config.platform.str());
        const bool complete = store_.has_layers_of(image.manifest);
        pull_layers(name, image, tracker, vertex, Tagging::Always);
        return complete ? Outcome::Cached : Outcome::Done;
    });
    return image;
}

// Repositories of the same registry from which the store knows a blob: the registry may hold it
// there and can link it without being sent it.
std::map<Digest, std::string> Images::neighbours(const oci::Reference& name) {
    std::map<Digest, std::string> places;
    for (const auto& image : store_.images()) {
        if (image.name.domain != name.domain || image.name.repository == name.repository) continue;
        try {
            for (const auto& layer : store_.manifest(image.manifest).layers)
                places.try_emplace(layer.digest, image.name.repository);
        } catch (const Error&) {  // an image that is not whole is no neighbour
        }
    }
    return places;
}

// An index goes after everything that it lists.
void Images::push_tree(const oci::Reference& name, const oci::Descriptor& descriptor,
                       Tracker& tracker) {
    const auto json = store_.read_document(descriptor.digest, oci::kMaxManifestBytes);
    if (oci::is_index(json)) {
        for (const auto& child : oci::decode_index(json).manifests) {
            auto exact = name;
            exact.tag.clear();
            exact.digest = child.digest;
            in_context([&] { return "pushing the index " + name.familiar(); },
                       [&] { push_tree(exact, child, tracker); });
        }
    } else {
        push_blobs(name, oci::decode_manifest(json), tracker);
    }
    tracker.run("pushing manifest for " + name.familiar() + "@" + descriptor.digest.str(),
                [&](VertexId) {
                    client_.push_manifest(name, descriptor, json);
                    return Outcome::Done;
                });
}

void Images::push_blobs(const oci::Reference& name, const oci::Manifest& manifest,
                        Tracker& tracker) {
    auto blobs = manifest.layers;
    blobs.push_back(manifest.config);
    const auto places = neighbours(name);
    tracker.run("pushing layers of " + name.familiar(), [&](VertexId vertex) {
        std::atomic<bool> sent{false};
        for_each_parallel(blobs.size(), kTransfers, [&](std::size_t i) {
            const auto& blob = blobs[i];
            const auto place = places.find(blob.digest);
            const bool pushed = client_.push_blob(
                name, blob, [&] { return blob_reader(store_.blob_path(blob.digest)); },
                place == places.end() ? std::string() : place->second);
            sent = sent || pushed;
            tracker.progress().status(vertex, blob.digest.str(), blob.size, blob.size);
        });
        return sent ? Outcome::Done : Outcome::Cached;
    });
}

oci::Descriptor Images::push(const oci::Reference& name, Tracker& tracker) {
    const auto descriptor = store_.resolve(name);
    if (!descriptor)
        fail(ErrorKind::NotFound, name.familiar() +
                                      ": not found in the store; `shale images` lists "
                                      "what is there");
    push(name, *descriptor, tracker);
    return *descriptor;
}

void Images::push(const oci::Reference& name, const oci::Descriptor& descriptor, Tracker& tracker) {
    push_tree(name, descriptor, tracker);
}

bool Images::is_pushed(const oci::Reference& name, const Digest& blob) {
    try {
        return client_.has_blob(name, blob);
    } catch (const Error& error) {  // a repository that is new, or not ours to read
        if (error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::Denied) throw;
        return false;
    }
}

}  // namespace shale::build
