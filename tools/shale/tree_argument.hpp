// The A and B of `diff` and `layer`: a directory, a snapshot or tar file, an image of the store,
// or nothing.
#pragma once

#include "workspace.hpp"

#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <memory>
#include <string>

namespace shale::cli {

struct TreeArgument {
    std::shared_ptr<const snapshot::Tree> tree;
    // Reads the files of the tree; null for a snapshot file, which holds digests and no bytes.
    layer::OpenContent open;
};

// "scratch" and "empty" are the empty tree. An existing path wins over an image of the same name;
// "./scratch" is always a path. NotFound if it is none of these.
TreeArgument open_tree_argument(Workspace& workspace, const std::string& text);

}  // namespace shale::cli
