// The table of contents of a layer in a registry: fetched, compared with what the manifest says of
// it, and read.
#pragma once

#include <shale/lazy.hpp>

#include <optional>

namespace shale::lazy {

struct RemoteTable {
    layer::Toc toc;
    // The end of the blob, if the manifest vouches for all of it: our own form. Of the forms of
    // other programs it vouches for the table alone.
    std::string tail;
};

using FetchRange = std::function<void(std::uint64_t offset, MutableBytes out)>;
// nullopt if the layer cannot be read in parts, Corrupt if the table is not the one that the
// manifest means.
std::optional<RemoteTable> fetch_table(const oci::Descriptor& layer, const FetchRange& fetch);

}  // namespace shale::lazy
