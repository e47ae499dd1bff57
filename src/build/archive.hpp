// ADD's archive extraction, as an edit of trees: the archive becomes a framed blob of the store,
// its members become entries below the destination.
#pragma once

#include "copy.hpp"
#include "session.hpp"

#include <string>

namespace shale::build {

// True if the file holds a tar archive, plain or compressed, judged by content alone.
bool is_archive(const std::string& path);

// Puts the archive file into the store, indexed. Returns what ContentIndex and expand_archive need.
struct IndexedArchive {
    Digest blob;
    std::shared_ptr<const layer::Toc> toc;
};
IndexedArchive index_archive(store::Store& store, const std::string& path, const Digest& digest);

// Merges the members below `options.destination`, always a directory. Whiteout names mean nothing
// here. Symlinked directories at the destination are followed inside the tree. --chown applies to
// every member, --chmod and --exclude to none.
void expand_archive(snapshot::TreeBuilder& out, const layer::Toc& toc, const CopyOptions& options,
                    std::uint64_t group_base);

}  // namespace shale::build
