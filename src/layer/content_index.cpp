// Content digest -> place, through the tables of all layers.
#include <shale/layer.hpp>

namespace shale::layer {

void ContentIndex::add(const Digest& blob, std::shared_ptr<const ContentTable> layer) {
    layers_.push_back({blob, std::move(layer)});
}

void ContentIndex::add(const Digest& blob, const Toc& toc) {
    add(blob, std::make_shared<const ContentTable>(toc));
}

std::optional<ContentIndex::Place> ContentIndex::find(const Digest& content) const {
    for (const Layer& layer : layers_)
        if (const auto range = layer.table->find(content))
            return Place{layer.blob, layer.table, *range};
    return std::nullopt;
}

}  // namespace shale::layer
