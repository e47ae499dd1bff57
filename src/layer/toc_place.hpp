// Where a foreign table of contents says that a content, or a chunk of it, lies.
#pragma once

#include <shale/layer.hpp>

#include <vector>

namespace shale::layer {

struct TocPlace {
    std::size_t entry = 0;              // index of the file
    std::uint64_t offset = 0, end = 0;  // in the blob; an end of 0 is not known
    std::uint64_t skip = 0;             // decompressed bytes before it
    std::uint64_t chunk_offset = 0;     // in the content
    std::uint64_t chunk_bytes = 0;      // 0: all that is left of the content
    Digest digest;                      // of the chunk; zero if not given
};

// The entries as the JSON states them, unchecked where several values are concerned. With `places`
// it is a foreign table, and frames and offsets are still to be made of them (in entry order).
Toc parse_toc(Bytes json, std::vector<TocPlace>* places);

}  // namespace shale::layer
