// The xattr sets of a tree as they lie in files, of snapshots and patches alike.
#pragma once

#include "tree_data.hpp"

#include <string>

namespace shale::snapshot {

// The sets from number `first`.
std::string encode_xattr_sets(const Tree::Data& data, std::uint32_t first = 1);

// Appends that many sets to those of `data`. Corrupt.
void read_xattr_sets(Bytes bytes, std::uint32_t sets, Tree::Data& data);

}  // namespace shale::snapshot
