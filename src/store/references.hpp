// What keeps what alive: from tags and from records of the build cache to blobs and trees.
#pragma once

#include "database.hpp"

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace shale::store {

using Digests = std::unordered_set<Digest, DigestHash>;

struct References {
    Digests blobs, trees, chains;
    // Documents that were followed, and how deep in indexes that was.
    std::unordered_map<Digest, int, DigestHash> documents;
};

// All that an image reaches: its manifest, through indexes every manifest below it, config, layers,
// and the ChainIDs of its layers. A document that is missing or damaged is kept itself and reaches
// nothing; what it named is lost already.
void add_image(Store& store, const oci::Descriptor& image, References& into);

// The rows of `steps` that are one result: the same tree, the same layer, whatever the key.
struct RecordGroup {
    std::vector<Digest> keys;
    StepRecord record;
    std::int64_t used_ns = 0;
    // Blobs that the record refers to, its own layer included; without repetition.
    std::vector<Digest> blobs() const;
};
std::vector<RecordGroup> group_records(const std::vector<StepRow>& rows);

}  // namespace shale::store
