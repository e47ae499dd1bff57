// store: contents/, the bytes of a few large contents as plain files. Layout:
// docs/formats/store.md.
//
// A program of a hundred megabytes that every RUN starts is read through a mount, decompressed and
// copied, each time anew; a file the kernel reads by itself, and keeps. Only a cache: what is here
// is in a layer, too, and any collection takes all of it.
//
// The bytes are checked when a file is made. After that it is believed as long as it looks as it
// was made: length, owner, mode, and a time of modification that nobody else would set.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <string>

namespace shale::store {

// Safe from any thread, and beside other processes.
class LocalContents {
  public:
    // Of all files together, as many as there may be: the longest unused make room.
    static constexpr std::uint64_t kMostBytes = 2ull << 30;

    explicit LocalContents(Store& store);
    bool has(const Digest& content, std::uint64_t bytes) const;
    // Gives the file a second name, on the store's file system, which stays whatever happens to the
    // first. False if has() is.
    bool link(const Digest& content, std::uint64_t bytes, const std::string& path) const;
    // Reads `source` to its end. False, and nothing happens, if there is no room for it. Corrupt,
    // and nothing is left, if the bytes are not those of the digest.
    bool put(const Digest& content, std::uint64_t bytes, const codec::Source& source);

  private:
    std::string path_of(const Digest& content) const;
    bool make_room_for(std::uint64_t bytes) const;

    Store& store_;
    const std::string directory_;
};

}  // namespace shale::store
