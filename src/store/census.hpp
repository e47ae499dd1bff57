// Every file of a store with its blocks on disk and who refers to it; the basis of usage() and
// collect().
#pragma once

#include "beside.hpp"
#include "references.hpp"
#include "state.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace shale::store {

// Blocks of a file on disk, in bytes.
struct StoredFile {
    std::string path;
    std::uint64_t bytes = 0;
};
using StoredFiles = std::unordered_map<Digest, StoredFile, DigestHash>;

struct Census {
    StoredFiles blobs, twins, places, twin_places, trees;
    StoredFiles contents;                                  // plain copies, which nothing refers to
    std::unordered_map<Digest, Digest, DigestHash> bases;  // of trees that are patches on others
    // Those that live and go with a blob.
    std::array<const StoredFiles*, 4> of_blobs() const {
        return {&blobs, &twins, &places, &twin_places};
    }
    std::uint64_t other = 0;
    References images;  // what named and unnamed images reach
    Digests pinned;     // by living readers
    std::vector<RecordGroup> groups;
    std::vector<CacheDirectory> beside;

    // `with_unnamed`: whether images without a name count as images.
    static Census take(Store& store, const Layout& layout, const Tags& tags, Database& database,
                       bool with_unnamed);

    // A blob with its twin and the tables of their contents, if there are any.
    std::uint64_t blob_bytes(const Digest& blob) const;
    std::uint64_t tree_bytes(const Digest& tree) const;
    // The tree and what it stands on.
    std::vector<Digest> with_base(const Digest& tree) const;
};

// The steps as the door describes them, in the order of Census::groups.
std::vector<CacheRecord> describe_records(const Census& census);

}  // namespace shale::store
