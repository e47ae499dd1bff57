#include "lazy_image.hpp"

#include "console.hpp"
#include "remote_blobs.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>

#include <algorithm>

namespace shale::cli {

namespace {

// Somebody waits inside read(2) for each fetch, and cannot be interrupted meanwhile.
constexpr http::TransportLimits kPatience{.connect_seconds = 10, .stall_seconds = 20};
constexpr int kAttempts = 2;

// What a mount of the image needs for as long as it lives.
struct Lazy {
    Lazy(registry::Options options, oci::Reference reference, oci::BlobSource& local,
         std::string directory)
        : client(std::move(options), http::curl_transport(kPatience)), name(std::move(reference)),
          blobs([this](const oci::Descriptor& layer, std::uint64_t offset,
                       MutableBytes out) { client.fetch_range(name, layer, offset, out); },
                local, std::move(directory)) {}

    registry::Client client;
    oci::Reference name;
    RemoteBlobs blobs;
    layer::ContentIndex contents;
};

registry::Options patient_options(Workspace& workspace) {
    auto options = registry::load_options();
    options.stop = workspace.stop();
    options.attempts = kAttempts;
    return options;
}

oci::Index index_of(const registry::RemoteManifest& manifest) {
    return oci::decode_index(manifest.json);
}

StoredImage fetch_documents(registry::Client& client, const oci::Reference& name,
                            const PlatformChoice& platform) {
    const auto wanted = platform.value_or(oci::Platform::host());
    auto manifest = client.fetch_manifest(name);
    StoredImage image;
    image.name = name;
    if (oci::is_index(manifest.json)) {
        const auto chosen = oci::select_platform(index_of(manifest), wanted);
        if (!chosen)
            fail(ErrorKind::NotFound, name.familiar() + " has no image for " + wanted.str());
        image.index = manifest.descriptor;
        auto exact = name;
        exact.digest = chosen->digest;
        manifest = client.fetch_manifest(exact);
    }
    image.descriptor = manifest.descriptor;
    image.manifest = oci::decode_manifest(manifest.json);
    const auto& config = image.manifest.config;
    if (config.size > oci::kMaxConfigBytes)
        fail(ErrorKind::Corrupt, config.digest.str() + " is too large for a config");
    std::string json;
    client.fetch_blob(name, config, [&](Bytes bytes) { json.append(as_text(bytes)); });
    image.config = oci::decode_config(json);
    if (image.manifest.layers.size() != image.config.diff_ids.size())
        fail(ErrorKind::Corrupt, name.str() + ": manifest and config disagree about the layers");
    return image;
}

void pull_layer(Lazy& lazy, store::Store& store, const oci::Descriptor& layer) {
    auto writer = store.new_blob();
    lazy.client.fetch_blob(lazy.name, layer, [&](Bytes bytes) { writer.write(bytes); });
    writer.commit(layer.digest);
}

bool is_whole(store::Store& store, const oci::Descriptor& layer) {
    return store.has_blob(layer.digest) && store.blob_size(layer.digest) == layer.size;
}

// The tables of all layers, bottom first; what had to be pulled, or was here, goes to `local`.
Tables collect_tables(Lazy& lazy, store::Store& store, const StoredImage& image,
                      std::vector<Digest>& local) {
    const auto& layers = image.manifest.layers;
    Tables tocs(layers.size());
    std::vector<std::size_t> opaque;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (is_whole(store, layers[i])) continue;
        tocs[i] = lazy.blobs.add(layers[i]);
        if (tocs[i]) continue;
        opaque.push_back(i);
        bytes += layers[i].size;
    }
    if (!opaque.empty())
        print_note(std::to_string(opaque.size()) + " of " + std::to_string(layers.size()) +
                   " layers have no table of contents that the manifest vouches for; pulling " +
                   format_size(bytes));
    for (const auto i : opaque)
        pull_layer(lazy, store, layers[i]);
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (tocs[i]) continue;
        tocs[i] = store.toc(layers[i], image.config.diff_ids[i]);
        local.push_back(layers[i].digest);
    }
    return tocs;
}

// Contents are looked for in the order of adding: first where no request is needed.
layer::ContentIndex index_contents(const StoredImage& image, const Tables& tocs,
                                   const std::vector<Digest>& local) {
    const auto& layers = image.manifest.layers;
    layer::ContentIndex index;
    for (const bool here : {true, false})
        for (std::size_t i = 0; i < layers.size(); ++i)
            if ((std::find(local.begin(), local.end(), layers[i].digest) != local.end()) == here)
                index.add(layers[i].digest, *tocs[i]);
    return index;
}

snapshot::Tree merged(const StoredImage& image, const Tables& tocs) {
    auto tree = snapshot::TreeBuilder().finish();
    for (std::size_t i = 0; i < tocs.size(); ++i)
        tree = in_context([&] { return "layer " + image.manifest.layers[i].digest.str(); },
                          [&] { return layer::merge(tree, *tocs[i]); });
    return tree;
}

}  // namespace

TreeArgument open_lazy_image(Workspace& workspace, std::string_view name,
                             const PlatformChoice& platform) {
    auto& store = workspace.store();
    // Shared with the views and the readers that outlive this call.
    const auto lazy =
        std::make_shared<Lazy>(patient_options(workspace), oci::Reference::parse(name),
                               store.framed(), join_path(store.root(), "tmp"));
    auto image = fetch_documents(lazy->client, lazy->name, platform);
    TreeArgument out;
    const auto tocs = collect_tables(*lazy, store, image, out.sources);
    lazy->contents = index_contents(image, tocs, out.sources);
    out.tree = std::make_shared<const snapshot::Tree>(merged(image, tocs));
    out.tables = [tocs] { return tocs; };
    const auto reader = std::make_shared<layer::ContentReader>(lazy->contents, lazy->blobs);
    out.open = [lazy, reader](std::string_view, const snapshot::Entry& entry) -> codec::Source {
        return [lazy, reader, source = reader->open(entry.content)](MutableBytes into) {
            return source(into);
        };
    };
    out.view = [lazy](std::shared_ptr<const snapshot::Tree> shown) {
        struct Held {
            Held(std::shared_ptr<Lazy> image, std::shared_ptr<const snapshot::Tree> tree)
                : lazy(std::move(image)), view(std::move(tree), lazy->contents, lazy->blobs) {}
            std::shared_ptr<Lazy> lazy;  // outlives the view
            mount::View view;
        };
        const auto held = std::make_shared<Held>(lazy, std::move(shown));
        return std::shared_ptr<mount::View>(held, &held->view);
    };
    out.image = std::move(image);
    return out;
}

}  // namespace shale::cli
