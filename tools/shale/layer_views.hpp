// An image by its layers: one of them alone, the tree after a step, or all at once with what each
// added, changed, deleted and wasted; and which layer an entry of the image is from.
//
// Layers and steps count from 1, the lowest and oldest first, as `shale history` prints them.
#pragma once

#include "tree_argument.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::cli {

// What of an image is wanted.
struct Part {
    enum class Kind { Whole, Layer, Step, Layers };
    Kind kind = Kind::Whole;
    std::size_t number = 0;  // of the layer or the step
};
// "app:prod#layer:3", "app:prod#step:7", "app:prod#layers": the reference, and what of it. Invalid
// if what follows the '#' is none of these.
std::pair<std::string, Part> split_part(const std::string& text);

// That part, read from where the whole is. Invalid if the reference names no image, or the image
// has no such layer or step.
TreeArgument part_of(TreeArgument whole, const Part& part);

// For each node of the merged tree the index in `tables` of the layer that it is from: the highest
// that has its path, but for directories that layers only repeat as they were. kNoLayer for a
// directory that no layer mentions.
inline constexpr std::uint32_t kNoLayer = 0xffffffff;
std::vector<std::uint32_t> layers_of_nodes(const snapshot::Tree& merged, const Tables& tables);

// For each layer the bytes of its files that are not in the merged tree any more.
std::vector<std::uint64_t> wasted_bytes(const snapshot::Tree& merged, const Tables& tables);

// What the extended attributes user.shale.layer, .step, .instruction and .digest (the layer's) and
// .content (the file's) say about an entry of a merged image; computed when first asked. Safe from
// any thread. Null if `shown` is not made of layers.
using OriginAttributes =
    std::function<std::optional<std::string>(snapshot::NodeId node, std::string_view name)>;
OriginAttributes origin_attributes(const TreeArgument& shown);

// The step that made each layer, as an index into the history; nothing if the history says less.
std::vector<std::optional<std::size_t>> steps_of_layers(const StoredImage& image);

}  // namespace shale::cli
