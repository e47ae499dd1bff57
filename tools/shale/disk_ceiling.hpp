// The ceiling on the store's size that `build` keeps.
#pragma once

#include <shale/store.hpp>

#include <string>

namespace shale::cli {

// Removes records of the build cache until blobs, trees, cache mounts and git mirrors take no more
// than `ceiling` ("20GB"); empty means $SHALE_MAX_DISK, and no ceiling if that is empty too. Images
// stay, named or not. Says what it did; if another process uses the store, says that and leaves it
// to the next build.
void keep_below_ceiling(store::Store& store, const std::string& ceiling);
// Invalid if it is no size. For before a build, so that nobody learns of it at the end.
void check_ceiling(const std::string& ceiling);

}  // namespace shale::cli
