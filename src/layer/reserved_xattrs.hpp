// Extended attributes through which an image could speak to overlayfs instead of to its user.
#pragma once

#include <shale/base.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

namespace shale::layer {

// A forged redirect or metacopy attribute would let a layer name files of other layers, so they
// never enter a tree or a directory.
inline bool is_reserved_xattr(std::string_view name) {
    return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

inline std::vector<Xattr> without_reserved(std::vector<Xattr> xattrs) {
    std::erase_if(xattrs, [](const Xattr& xattr) { return is_reserved_xattr(xattr.name); });
    return xattrs;
}

// Links followed while one path is resolved; the kernel gives up at 40.
inline constexpr int kMaxLinks = 255;

}  // namespace shale::layer
