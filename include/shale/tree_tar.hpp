// tree_tar (a door of build): a tree, or a part of it, as a plain tar stream, produced as it is
// read. What the local and tar outputs of a build write, and `shale cp`. Safe from any thread, each
// stream from one.
#pragma once

#include <shale/codec.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace shale::build {

struct TreeTarOptions {
    // Every entry belongs to the effective user, and no file lends him to others: set-ID bits stay
    // only where root's files become root's.
    bool own_by_caller = false;
    std::optional<std::int64_t> clamp_mtime_ns;  // later times become this
};

// What lies at `node` as a tree of its own: under `name`, or, a directory without one, as the root.
snapshot::Tree subtree(const snapshot::Tree& tree, snapshot::NodeId node,
                       const std::string& name = {});

// `reader` must outlive what is opened.
layer::OpenContent contents_of(layer::ContentReader& reader);

// `tree` must outlive the source. Corrupt, naming the path, if a content ends early.
codec::Source tree_tar(const snapshot::Tree& tree, layer::OpenContent open,
                       const TreeTarOptions& options = {});

}  // namespace shale::build
