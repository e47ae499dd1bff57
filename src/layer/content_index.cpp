// Content digest -> place in a layer: one hash table over the tables of contents of all sources.
#include <shale/layer.hpp>

#include <unordered_map>

namespace shale::layer {

struct ContentIndex::State {
    struct Layer {
        Digest blob;
        std::shared_ptr<const Toc> toc;  // shared with whoever else reads the layer
    };
    struct Spot {
        std::uint32_t layer;
        std::uint64_t tar_offset, size;
    };
    std::vector<Layer> layers;
    std::unordered_map<Digest, Spot, DigestHash> spots;
};

ContentIndex::ContentIndex() : state_(std::make_unique<State>()) {}
ContentIndex::ContentIndex(const ContentIndex& other)
    : state_(std::make_unique<State>(*other.state_)) {}
ContentIndex::ContentIndex(ContentIndex&&) noexcept = default;
ContentIndex& ContentIndex::operator=(ContentIndex&&) noexcept = default;
ContentIndex::~ContentIndex() = default;

void ContentIndex::add(const Digest& blob, std::shared_ptr<const Toc> toc) {
    const auto layer = static_cast<std::uint32_t>(state_->layers.size());
    for (const TocEntry& entry : toc->entries)
        if (entry.member.type == tar::MemberType::Regular && entry.member.size > 0)
            state_->spots.try_emplace(entry.content,
                                      State::Spot{layer, entry.content_offset, entry.member.size});
    state_->layers.push_back({blob, std::move(toc)});
}

std::optional<ContentIndex::Place> ContentIndex::find(const Digest& content) const {
    const auto found = state_->spots.find(content);
    if (found == state_->spots.end()) return std::nullopt;
    const State::Spot& spot = found->second;
    const State::Layer& layer = state_->layers[spot.layer];
    return Place{layer.blob, layer.toc, spot.tar_offset, spot.size};
}

}  // namespace shale::layer
