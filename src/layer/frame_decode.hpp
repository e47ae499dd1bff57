// The bytes of one frame of a table, whoever wrote it.
#pragma once

#include <shale/layer.hpp>

namespace shale::layer {

// `packed` are the frame's bytes in the blob, `out` is as large as its content. Corrupt if they do
// not decompress to that, or not to what has the digest that the table names.
void decode_frame(codec::FrameDecompressor& decompressor, const FrameTable& table,
                  std::size_t index, Bytes packed, MutableBytes out);

}  // namespace shale::layer
