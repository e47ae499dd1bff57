// The tree in a writable mount, known from its image and the overlay's upper directory: only what
// was written is read.
#pragma once

#include "mount_record.hpp"
#include "tree_argument.hpp"

#include <optional>
#include <string>

namespace shale::cli {

struct WritableMount {
    MountRecord record;
    TreeArgument base;  // the image below
};

// The writable mount of this store whose root the directory is; nullopt if it is no such. NotFound
// if documents or layers of its image are not in the store.
std::optional<WritableMount> find_writable_mount(Workspace& workspace,
                                                 const std::string& directory);

// What the mount shows at this moment; what is written meanwhile may be in it or not.
TreeArgument tree_in(const WritableMount& mount);

}  // namespace shale::cli
