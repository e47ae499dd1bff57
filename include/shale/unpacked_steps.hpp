// store: unpacked/, what RUNs wrote, as the plain files that they left. Layout:
// docs/formats/store.md.
//
// A RUN reads what the step before it made. Where that comes from the cache it is in a layer, and
// each name and each byte that a compiler looks for is a question to a FUSE server; of plain files
// the kernel knows by itself. So the upper directories that other RUNs stood on are kept from build
// to build, as far as there is room. Only a cache: everything is in layers, too.
//
// Nothing in it is synced, so it counts until the machine is started again. After that it is
// believed, as the directory of a build that goes on would be.
#pragma once

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace shale::store {

// Safe from any thread, and beside other processes. Errors of the file system are thrown; what was
// there before stays usable.
class UnpackedSteps {
  public:
    // Of all together, blocks on disk: the longest unused make room, of 256 at most. One of more
    // than half of it is not kept.
    static constexpr std::uint64_t kMostBytes = 4ull << 30;

    explicit UnpackedSteps(Store& store);

    struct Step {
        Digest before;      // the tree that it lies on
        std::string upper;  // directory; a layer of an overlay, only to be read
        UniqueFd lease;     // while it is open, nobody removes the directory
    };
    // What turns another tree into `after`.
    std::optional<Step> find(const Digest& after) const;
    bool has(const Digest& after) const;

    struct About {
        Digest before;
        std::uint64_t bytes = 0;  // blocks on disk
        std::string name;         // of the step
    };
    // Moves the directory `upper`, on the store's file system, to here. False if there is no room
    // for it, there is one already, or the store is another user's; what is left of it is the
    // caller's.
    bool put(const Digest& after, const About& about, const std::string& upper);

    // `edited` was made of the tree of a step that is here, `of`.
    void note_edit(const Digest& edited, const Digest& of);
    std::optional<Digest> origin_of(const Digest& edited) const;

  private:
    std::string path_of(const Digest& after) const;
    bool make_room_for(std::uint64_t bytes) const;
    bool remove(const Digest& after) const;

    Store& store_;
    const std::string directory_;
};

}  // namespace shale::store
