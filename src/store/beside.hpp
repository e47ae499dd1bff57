// Caches that lie beside the blobs: directories that builds fill, and that the store counts and
// collects without knowing what is in them. Layouts: docs/formats/store.md, sections 6, 8 and 12.
#pragma once

#include "state.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace shale::store {

struct CacheDirectory {
    CacheRecord record;
    std::vector<std::string> paths;  // the directory and its lock file
};

// Of all kinds. Names that are no digest are not ours, and stay.
std::vector<CacheDirectory> cache_directories(const Layout& layout);

// Whole or not at all: moved to `tmp`, a directory of this process, and removed there. Nobody may
// be using it.
void remove_cache_directory(const CacheDirectory& directory, const std::string& tmp);

// Blocks on disk of a file, or of a directory with all that is below it on its file system, in
// bytes.
std::uint64_t blocks_of(const std::string& path);
std::uint64_t blocks_below(const std::string& directory);

}  // namespace shale::store
