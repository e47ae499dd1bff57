// A layer in the form that was asked for.
#pragma once

#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/layer_form.hpp>

#include <vector>

namespace shale::cli {

// Of --compression, as layer::parse_form() reads them.
inline constexpr const char* kFormChoices =
    "zstd|gzip|uncompressed|zstd-plain|zstd:chunked|zstd:stargz|estargz";

// The layer that turns the tree before into `after`, to `out`. Invalid if the form has no such
// level.
layer::Formed write_layer_blob(const std::vector<diff::Change>& changes,
                               const snapshot::Tree& after, const layer::OpenContent& open,
                               const layer::FormOptions& options, const codec::Sink& out);

}  // namespace shale::cli
