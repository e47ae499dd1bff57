// The Merkle digests of a tree: what exactly is hashed for a node, for a key, for an xattr set and
// for a link group. docs/formats/snapshot.md lists the bytes.
#pragma once

#include "tree_data.hpp"

#include <span>
#include <vector>

namespace shale::snapshot {

// Recomputes the digests of all nodes marked in `dirty` (one byte per node) and of their ancestors.
void update_digests(Tree::Data& data, std::vector<std::uint8_t> dirty);

// The digest that `node` must have, given its children's.
Digest compute_digest(const Tree::Data& data, NodeId node);

Digest compute_key_digest(const Tree::Data& data, NodeId node, const KeyPolicy& policy);

Digest digest_of_xattrs(std::span<const Xattr> xattrs);
Digest digest_of_group(const Tree::Data& data, std::span<const NodeId> members);

}  // namespace shale::snapshot
