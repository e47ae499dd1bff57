// ADD's archive extraction, as an edit of trees: the archive becomes a framed blob of the store,
// its members become entries below the destination.
#pragma once

#include "copy.hpp"
#include "session.hpp"

#include <shale/codec.hpp>

#include <functional>
#include <optional>
#include <string>

namespace shale::build {

// Gives the bytes of something from the start, each time it is called.
using OpenBytes = std::function<codec::Source()>;
OpenBytes bytes_of_file(const std::string& path);
// `layers` hold the content.
OpenBytes bytes_of_content(store::Store& store, const std::vector<Digest>& layers,
                           const Digest& content);

// True if these are a tar archive, plain or compressed, judged by content alone.
bool is_archive(const OpenBytes& open);

// Puts the archive into the store, indexed. Returns what ContentIndex and expand_archive need.
// Corrupt if it does not have the digest, when one is given, or is no whole archive; `what` names
// it.
struct IndexedArchive {
    Digest blob;
    std::shared_ptr<const layer::Toc> toc;
};
IndexedArchive index_archive(store::Store& store, const OpenBytes& open, const std::string& what,
                             const std::optional<Digest>& digest);

// Merges the members below `options.destination`, always a directory. Whiteout names mean nothing
// here. Symlinked directories at the destination are followed inside the tree. --chown applies to
// every member, --chmod and --exclude to none.
void expand_archive(snapshot::TreeBuilder& out, const layer::Toc& toc, const CopyOptions& options,
                    std::uint64_t group_base);

}  // namespace shale::build
