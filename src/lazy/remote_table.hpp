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

// In two parts, so that those of several layers come at one time and yet only one that is large is
// in memory before it is known to be sound.
class TableFetch {
  public:
    TableFetch(const oci::Descriptor& layer, FetchRange fetch);
    // What tells whether there is a table, and a small one as a whole.
    void begin();
    // nullopt if the layer cannot be read in parts, Corrupt if the table is not the one that the
    // manifest means.
    std::optional<RemoteTable> finish();

  private:
    // What the manifest says about the tail of our own form.
    struct Promise {
        Digest digest;
        std::uint64_t bytes = 0;
    };
    static std::optional<Promise> promise_of(const oci::Descriptor& layer);
    void fetch_tail(std::uint64_t bytes);

    const oci::Descriptor& layer_;
    const FetchRange fetch_;
    const std::optional<Promise> promise_;
    std::string tail_;
};

}  // namespace shale::lazy
