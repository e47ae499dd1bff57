// What every table of contents must satisfy, wherever it came from.
#pragma once

#include <shale/layer.hpp>

namespace shale::layer {

// Bounds on what a TOC may make its reader allocate. A frame of ours holds at most eight
// frame_bytes and some headers; kMaxFrameTarBytes leaves room for any WriteOptions we accept.
inline constexpr std::uint64_t kMaxFrameTarBytes = 64u << 20;
inline constexpr std::uint64_t kMaxFrameBlobBytes = kMaxFrameTarBytes + (1u << 20);
inline constexpr std::size_t kMaxEntries = 8'000'000;
inline constexpr std::size_t kMaxLinkBytes = 4095;  // what symlink(2) makes
inline constexpr std::size_t kMaxFrames = 4'000'000;
inline constexpr std::uint32_t kMaxWriteFrameBytes = 4u << 20;

// Corrupt, naming frame or entry, unless frames cover the tar without gap, lie apart in the blob,
// and every content lies within them; paths are clean, unique and bounded.
void check_toc(const Toc& toc);
// What of that concerns the frames.
void check_frames(const FrameTable& table);

// End of the last frame: tar_bytes, or more if side frames follow the tar.
std::uint64_t end_of_frames(const FrameTable& table);

}  // namespace shale::layer
