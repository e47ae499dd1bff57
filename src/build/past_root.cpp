// Roots of earlier builds, put together from what the cache still has.
#include "copy.hpp"
#include "step.hpp"

#include <shale/explain.hpp>

namespace shale::build {
namespace {

constexpr unsigned kMostLayers = 1000;  // laid one over another

PastRoot of_image(store::Store& store, const RecordedRoot& root) {
    oci::Descriptor descriptor;
    descriptor.digest = root.digest;
    descriptor.size = store.blob_size(root.digest);
    const auto manifest = store.manifest(descriptor);
    auto image = store.image_tree(manifest, store.config(manifest));
    return {std::move(image.tree), std::move(image.sources)};
}

PastRoot of_record(store::Store& store, const Digest& key, const Digest& tree,
                   const std::string& name) {
    const auto found = store.find_step(key);
    if (!found || found->tree != tree)
        fail(ErrorKind::NotFound, "the result of " + name + " is not in the cache any more");
    return {store.tree(tree), found->sources};
}

PastRoot find(store::Store& store, const BuildRecord& record, const Digest& key, unsigned depth) {
    const auto found = record.roots.find(key);
    if (found == record.roots.end() || depth > kMostLayers)
        fail(ErrorKind::NotFound, "build " + record.id + " does not say what its root was");
    const auto& root = found->second;
    switch (root.kind) {
    case RecordedRoot::Kind::Scratch:
        return {std::make_shared<snapshot::Tree>(snapshot::TreeBuilder().finish()), {}};
    case RecordedRoot::Kind::Image:
        return of_image(store, root);
    case RecordedRoot::Kind::Step:
        if (const auto* step = record.step(root.step))
            return of_record(store, step->key, step->tree, step->name);
        break;
    case RecordedRoot::Kind::LaidOver: {
        const auto lower = find(store, record, root.lower, depth + 1);
        const auto upper = find(store, record, root.upper, depth + 1);
        snapshot::TreeBuilder builder(*lower.tree);
        lay_over(builder, *upper.tree);
        return {std::make_shared<snapshot::Tree>(builder.finish()),
                merge_sources(lower.sources, upper.sources)};
    }
    case RecordedRoot::Kind::Source:
        break;
    }
    fail(ErrorKind::NotFound, "files of " + root.reference + " cannot be shown");
}

}  // namespace

PastRoot past_root(store::Store& store, const BuildRecord& record, const Digest& root) {
    return find(store, record, root, 0);
}

PastRoot failed_root(store::Store& store, const RecordedStep& step) {
    if (step.tree.is_zero()) fail(ErrorKind::NotFound, "nothing of " + step.name + " was kept");
    return of_record(store, failed_step_key(step.key), step.tree, step.name);
}

}  // namespace shale::build
