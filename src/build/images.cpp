// Pull and push: the only place where the registry client and the store meet. Documents are small
// and come first; layers follow, several at a time, and the tag moves when everything is there.
#include <shale/build.hpp>
#include <shale/codec.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace shale::build {
namespace {

// As many transfers at a time as docker makes; more gain nothing against one registry.
constexpr std::size_t kTransfers = 3;

// Runs body(0..count-1) on a few threads. The first error stops further work and is rethrown.
void for_each_parallel(std::size_t count, const std::function<void(std::size_t)>& body) {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto work = [&] {
        for (std::size_t i; (i = next++) < count;)
            try {
                body(i);
            } catch (...) {  // a thread root: kept for the caller
                const std::lock_guard lock(mutex);
                if (!failure) failure = std::current_exception();
                next = count;
            }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < std::min(kTransfers, count); ++i)
            threads.emplace_back(work);
        work();
    }
    if (failure) std::rethrow_exception(failure);
}

void check_layers(const oci::Reference& name, const ResolvedImage& image) {
    if (image.manifest.layers.size() != image.config.diff_ids.size())
        fail(ErrorKind::Corrupt, name.str() + ": manifest " + image.descriptor.digest.str() +
                                     " has " + std::to_string(image.manifest.layers.size()) +
                                     " layers but its config lists " +
                                     std::to_string(image.config.diff_ids.size()) + " diff IDs");
}

bool fits(const oci::Platform& image, const oci::Platform& wanted) {
    return image.os == wanted.os && image.architecture == wanted.architecture;
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
    if (const auto local = refresh ? std::nullopt : store_.resolve(name)) {
        ResolvedImage image{*local, store_.manifest(*local), {}};
        image.config = store_.config(image.manifest);
        if (fits(image.config.platform, platform)) return image;
    }
    auto remote = client_.fetch_manifest(name);
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

void Images::pull_layers(const oci::Reference& name, const ResolvedImage& image, Tracker& tracker,
                         VertexId vertex) {
    check_layers(name, image);
    const auto& layers = image.manifest.layers;
    for_each_parallel(layers.size(), [&](std::size_t i) {
        const auto& layer = layers[i];
        if (store_.has_blob(layer.digest)) return;
        auto writer = store_.new_blob();
        std::uint64_t reported = 0;
        client_.fetch_blob(name, layer, [&](Bytes bytes) {
            writer.write(bytes);
            constexpr std::uint64_t kReportEvery = 1 << 20;
            if (writer.size() - reported < kReportEvery) return;
            reported = writer.size();
            tracker.progress().status(vertex, layer.digest.str(), reported, layer.size);
        });
        writer.commit(layer.digest);
        tracker.progress().status(vertex, layer.digest.str(), layer.size, layer.size);
    });
    store_.tag(name, image.descriptor);
}

ResolvedImage Images::pull(const oci::Reference& name, const oci::Platform& platform,
                           Tracker& tracker) {
    ResolvedImage image;
    tracker.run("pulling " + name.str(), [&](VertexId vertex) {
        image = resolve(name, platform, true);
        bool complete = true;
        for (const auto& layer : image.manifest.layers)
            complete &= store_.has_blob(layer.digest);
        pull_layers(name, image, tracker, vertex);
        return complete ? Outcome::Cached : Outcome::Done;
    });
    return image;
}

oci::Descriptor Images::push(const oci::Reference& name, Tracker& tracker) {
    const auto descriptor = store_.resolve(name);
    if (!descriptor)
        fail(ErrorKind::NotFound, name.familiar() +
                                      ": not found in the store; `shale images` lists "
                                      "what is there");
    const auto manifest = store_.manifest(*descriptor);
    auto blobs = manifest.layers;
    blobs.push_back(manifest.config);
    tracker.run("pushing layers of " + name.familiar(), [&](VertexId vertex) {
        std::atomic<bool> sent{false};
        for_each_parallel(blobs.size(), [&](std::size_t i) {
            const auto& blob = blobs[i];
            const bool pushed = client_.push_blob(
                name, blob, [&] { return blob_reader(store_.blob_path(blob.digest)); });
            sent = sent || pushed;
            tracker.progress().status(vertex, blob.digest.str(), blob.size, blob.size);
        });
        return sent ? Outcome::Done : Outcome::Cached;
    });
    tracker.run(
        "pushing manifest for " + name.familiar() + "@" + descriptor->digest.str(), [&](VertexId) {
            const auto json = store_.read_document(descriptor->digest, oci::kMaxManifestBytes);
            client_.push_manifest(name, *descriptor, json);
            return Outcome::Done;
        });
    return *descriptor;
}

}  // namespace shale::build
