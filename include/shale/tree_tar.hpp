// tree_tar (a door of build): a whole tree as a plain tar stream, produced as it is read. What the
// local and tar outputs of a build write, and `shale cp`. Safe from any thread, each stream from
// one.
#pragma once

#include <shale/codec.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <optional>

namespace shale::build {

struct TreeTarOptions {
    // Every entry belongs to the effective user, and no file lends him to others: set-ID bits stay
    // only where root's files become root's.
    bool own_by_caller = false;
    std::optional<std::int64_t> clamp_mtime_ns;  // later times become this
};

// `reader` must outlive what is opened.
layer::OpenContent contents_of(layer::ContentReader& reader);

// `tree` must outlive the source. Corrupt, naming the path, if a content ends early.
codec::Source tree_tar(const snapshot::Tree& tree, layer::OpenContent open,
                       const TreeTarOptions& options = {});

}  // namespace shale::build
