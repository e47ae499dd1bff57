// Images: from a descriptor to its manifest, config and merged tree.
#include "chain.hpp"
#include "state.hpp"

#include <algorithm>

namespace shale::store {

namespace {

// An index in an index in an index is a puzzle, not an image.
constexpr int kMaxIndexDepth = 3;

oci::Descriptor select(const oci::Index& index, const oci::Descriptor& from) {
    const oci::Platform platform = from.platform.value_or(oci::Platform::host());
    if (auto manifest = oci::select_platform(index, platform)) return *manifest;
    fail(ErrorKind::NotFound,
         "index " + from.digest.str() + " has no manifest for " + platform.str());
}

}  // namespace

oci::Manifest Store::manifest(const oci::Descriptor& manifest) {
    oci::Descriptor at = manifest;
    for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
        const std::string json = read_document(at.digest, oci::kMaxManifestBytes);
        const auto describe = [&] { return "manifest " + at.digest.str(); };
        if (!in_context(describe, [&] { return oci::is_index(json); }))
            return in_context(describe, [&] { return oci::decode_manifest(json); });
        at = select(in_context(describe, [&] { return oci::decode_index(json); }), at);
    }
    fail(ErrorKind::Corrupt, "index " + manifest.digest.str() + ": indexes are nested too deep");
}

oci::ImageConfig Store::config(const oci::Manifest& manifest) {
    const Digest& digest = manifest.config.digest;
    const std::string json = read_document(digest, oci::kMaxConfigBytes);
    return in_context([&] { return "image config " + digest.str(); },
                      [&] { return oci::decode_config(json); });
}

namespace {

// The longest part of the chain whose tree is at hand, as (layers applied, tree).
struct Start {
    std::size_t layers = 0;
    std::shared_ptr<const snapshot::Tree> tree;
};

Start find_start(const std::vector<Digest>& chain, Database& database, Trees& trees) {
    for (std::size_t layers = chain.size(); layers > 0; --layers) {
        const auto digest = database.tree_of_chain(chain[layers - 1]);
        if (!digest) continue;
        try {
            if (auto tree = trees.find(*digest)) return {layers, std::move(tree)};
        } catch (const Error& error) {
            // A damaged tree has just been removed and is merged anew.
            if (error.kind() != ErrorKind::Corrupt) throw;
        }
    }
    return {0, std::make_shared<const snapshot::Tree>(snapshot::TreeBuilder().finish())};
}

}  // namespace

ImageTree Store::image_tree(const oci::Manifest& manifest, const oci::ImageConfig& config) {
    const auto& layers = manifest.layers;
    if (layers.size() != config.diff_ids.size())
        fail(ErrorKind::Corrupt, "image with config " + manifest.config.digest.str() + " has " +
                                     std::to_string(layers.size()) + " layers but " +
                                     std::to_string(config.diff_ids.size()) + " DiffIDs");
    ImageTree image;
    // A chain of DiffIDs names a tree only if these layers really have these DiffIDs.
    for (std::size_t i = 0; i < layers.size(); ++i) {
        state_->tocs->verify(layers[i], config.diff_ids[i]);
        image.sources.push_back(layers[i].digest);
    }
    const auto chain = chain_ids(config.diff_ids);
    Start start = find_start(chain, *state_->database, state_->trees);
    image.tree = std::move(start.tree);
    if (start.layers == layers.size()) return image;

    for (std::size_t i = start.layers; i < layers.size(); ++i) {
        const auto merge = [&] {
            return layer::merge(*image.tree, *toc(layers[i], config.diff_ids[i]));
        };
        image.tree = std::make_shared<const snapshot::Tree>(
            in_context([&] { return "layer " + layers[i].digest.str(); }, merge));
    }
    state_->database->put_chain(chain.back(), state_->trees.put_shared(image.tree));
    return image;
}

std::shared_ptr<const snapshot::Tree> Store::known_tree(const oci::ImageConfig& config) {
    const auto chain = chain_ids(config.diff_ids);
    Start start = find_start(chain, *state_->database, state_->trees);
    return start.layers == chain.size() ? std::move(start.tree) : nullptr;
}

}  // namespace shale::store
