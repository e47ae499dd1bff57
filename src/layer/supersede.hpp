// Archives in which a path appears twice.
#pragma once

#include <shale/layer.hpp>

namespace shale::layer {

// The entries that are left when every entry replaces what an earlier one of the same layer put at
// its path, as extraction in order would: a directory over a directory changes its attributes,
// anything else removes what was there and below. Hardlinks to a replaced file keep its content:
// the first of them becomes the file. The image spec forbids duplicates in a layer, some builders
// write them all the same (directories above all).
std::vector<TocEntry> without_superseded(std::vector<TocEntry> entries);

}  // namespace shale::layer
