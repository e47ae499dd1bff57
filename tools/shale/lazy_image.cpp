#include "lazy_image.hpp"

#include "access_lists.hpp"
#include "console.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/lazy.hpp>
#include <shale/parallel.hpp>

#include <algorithm>
#include <functional>
#include <stop_token>

namespace shale::cli {

namespace {

// Somebody waits inside read(2) for each fetch, and cannot be interrupted meanwhile.
constexpr http::TransportLimits kPatience{.connect_seconds = 10, .stall_seconds = 20};
constexpr int kAttempts = 2;
constexpr std::size_t kTransfers = 3;  // of whole layers at a time, as docker has it

// What a mount of the image needs for as long as it lives.
struct Lazy final : RemoteImage {
    Lazy(const oci::Reference& reference, store::Store& store, std::stop_token outer)
        : forward(std::move(outer), [this] { ended.request_stop(); }),
          options(patient_options(ended.get_token())), client(new_client()), name(reference),
          blobs([this](const oci::Descriptor& layer, std::uint64_t offset,
                       MutableBytes out) { client->fetch_range(name, layer, offset, out); },
                store.framed(), join_path(store.root(), "tmp")),
          lists(store.root()) {}
    ~Lazy() override;
    void prepare(const FetchAhead& wish) override;
    void begin(bool after_another) override;

    static registry::Options patient_options(std::stop_token stop) {
        auto options = registry::load_options();
        options.stop = std::move(stop);
        options.attempts = kAttempts;
        return options;
    }
    std::unique_ptr<registry::Client> new_client() const {
        return std::make_unique<registry::Client>(options, http::curl_transport(kPatience));
    }

    std::stop_source ended;  // what is fetched ahead keeps nobody waiting at the end
    std::stop_callback<std::function<void()>> forward;
    const registry::Options options;
    std::unique_ptr<registry::Client> client;
    oci::Reference name;
    lazy::RemoteBlobs blobs;
    layer::ContentIndex contents;
    const AccessLists lists;
    std::optional<lazy::AccessRecorder> recorder;
    std::vector<lazy::RemoteBlobs::Place> wished;
    bool wishes_all = false;
};

Lazy::~Lazy() {
    ended.request_stop();
    try {
        if (!recorder) return;
        if (const auto contents_read = recorder->contents(); !contents_read.empty())
            lists.save(name, contents_read);
    } catch (const std::exception& error) {
        log(LogLevel::Warn, std::string("what was read is not recorded: ") + error.what());
    }
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
    lazy::check_repeats(image.manifest.layers);
    return image;
}

void pull_layer(Lazy& lazy, store::Store& store, const oci::Descriptor& layer) {
    auto writer = store.new_blob();
    lazy.client->fetch_blob(lazy.name, layer, [&](Bytes bytes) { writer.write(bytes); });
    writer.commit(layer.digest);
}

// The tables of all layers, bottom first; what had to be pulled, or was here, goes to `local`.
Tables collect_tables(Lazy& lazy, store::Store& store, const StoredImage& image,
                      std::vector<Digest>& local) {
    const auto& layers = image.manifest.layers;
    Tables tocs(layers.size());
    std::vector<std::size_t> absent, opaque;
    std::vector<oci::Descriptor> asked;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (store.has_whole(layers[i])) continue;
        absent.push_back(i);
        asked.push_back(layers[i]);
    }
    const auto found = lazy.blobs.add(asked);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < absent.size(); ++i) {
        tocs[absent[i]] = found[i];
        if (found[i]) continue;
        opaque.push_back(absent[i]);
        bytes += asked[i].size;
    }
    if (!opaque.empty())
        print_note(std::to_string(opaque.size()) + " of " + std::to_string(layers.size()) +
                   " layers have no table of contents that the manifest vouches for; pulling " +
                   format_size(bytes));
    for_each_parallel(opaque.size(), kTransfers,
                      [&](std::size_t i) { pull_layer(lazy, store, layers[opaque[i]]); });
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (tocs[i]) continue;
        tocs[i] = store.toc(layers[i], image.config.diff_ids[i]);
        local.push_back(layers[i].digest);
    }
    lazy::check_contents(tocs);
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

// Frames in groups of some megabytes, each group in the order of its blobs, so that neighbours come
// with one request; the groups in the order of the list.
std::vector<lazy::RemoteBlobs::Place> in_groups(std::vector<lazy::RemoteBlobs::Place> frames) {
    constexpr std::size_t kFramesPerGroup = 32;
    const auto comes_first = [](const auto& a, const auto& b) {
        return a.blob != b.blob ? a.blob < b.blob : a.offset < b.offset;
    };
    for (std::size_t at = 0; at < frames.size(); at += kFramesPerGroup) {
        const auto first = frames.begin() + static_cast<std::ptrdiff_t>(at);
        std::sort(first,
                  first +
                      static_cast<std::ptrdiff_t>(std::min(kFramesPerGroup, frames.size() - at)),
                  comes_first);
    }
    return frames;
}

void Lazy::prepare(const FetchAhead& wish) {
    blobs.allow_ahead(false);
    if (wish.record) recorder.emplace();
    if (wish.listed) {
        wished = in_groups(lazy::frames_of(contents, lists.load(name)));
        if (wished.empty()) wished = blobs.frames_put_first();
    }
    wishes_all = wish.rest;
    if (!wish.rest) return;
    const auto all = blobs.frames();
    wished.insert(wished.end(), all.begin(), all.end());
}

void Lazy::begin(bool after_another) {
    client = new_client();  // its connections are of the process before us
    if (after_another) blobs.look_for_kept();
    blobs.allow_ahead(true);
    if (wished.empty() && !wishes_all) return;
    blobs.fetch_in_background(std::move(wished), [this](std::exception_ptr failure) {
        if (ended.stop_requested()) return;
        const auto image = std::string(kRegistryPrefix) + name.familiar();
        try {
            if (failure) std::rethrow_exception(failure);
            if (wishes_all) log(LogLevel::Info, image + " is here, all of it");
        } catch (const std::exception& error) {
            log(LogLevel::Warn, image + ": not all was fetched ahead: " + error.what());
        }
    });
}

// A view of layers; one that notes what is read is not, and serves no metadata image.
std::shared_ptr<mount::View> view_of(const std::shared_ptr<Lazy>& lazy,
                                     std::shared_ptr<const snapshot::Tree> shown) {
    struct Held {
        std::shared_ptr<Lazy> lazy;  // outlives the others
        std::optional<layer::ContentReader> reader;
        std::optional<mount::View> view;
    };
    const auto held = std::make_shared<Held>();
    held->lazy = lazy;
    if (lazy->recorder) {
        held->reader.emplace(lazy->contents, lazy->blobs);
        held->view.emplace(shown, [held = held.get(), tree = shown](snapshot::NodeId node,
                                                                    std::uint64_t offset,
                                                                    MutableBytes out) {
            const auto content = tree->entry(node).content;
            held->lazy->recorder->note(content);
            return held->reader->read(content, offset, out);
        });
    } else {
        held->view.emplace(std::move(shown), lazy->contents, lazy->blobs);
    }
    return {held, &*held->view};
}

}  // namespace

TreeArgument open_lazy_image(Workspace& workspace, std::string_view name,
                             const PlatformChoice& platform) {
    auto& store = workspace.store();
    // Shared with the views and the readers that outlive this call.
    const auto lazy = std::make_shared<Lazy>(oci::Reference::parse(name), store, workspace.stop());
    auto image = fetch_documents(*lazy->client, lazy->name, platform);
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
    out.remote = lazy;
    out.view = [lazy](std::shared_ptr<const snapshot::Tree> shown) {
        return view_of(lazy, std::move(shown));
    };
    out.image = std::move(image);
    return out;
}

}  // namespace shale::cli
