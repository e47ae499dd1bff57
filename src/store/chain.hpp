// Chains: a series of layers named by their DiffIDs.
#pragma once

#include <shale/base.hpp>

#include <vector>

namespace shale::store {

// The ChainID after each layer (OCI image-spec, "Layer ChainID").
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace shale::store
