// A layer in the compression that was asked for.
#pragma once

#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/layer.hpp>
#include <shale/oci.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace shale::cli {

struct LayerFormat {
    oci::Compression compression = oci::Compression::Zstd;
    std::optional<int> level;  // the compression's default
};

struct LayerBlob {
    oci::Compression compression = oci::Compression::Zstd;
    Digest digest, diff_id;
    std::uint64_t bytes = 0, tar_bytes = 0;
};

// Invalid if the level is out of the compression's range.
LayerBlob write_layer_blob(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                           const layer::OpenContent& open, const LayerFormat& format,
                           const codec::Sink& out);

}  // namespace shale::cli
