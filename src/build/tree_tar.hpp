// A whole tree as a plain tar stream, produced as it is read: what the local and tar outputs write.
#pragma once

#include <shale/codec.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace shale::build {

struct TreeTarOptions {
    // Every entry belongs to the effective user, and no file lends him to others: set-ID bits stay
    // only where root's files become root's.
    bool own_by_caller = false;
    std::optional<std::int64_t> clamp_mtime_ns;  // later times become this
};

// `tree` and `contents` must outlive the source.
codec::Source tree_tar(const snapshot::Tree& tree, layer::ContentReader& contents,
                       const TreeTarOptions& options = {});

}  // namespace shale::build
