// What stat(2) says, asked of many names at once through io_uring.
#pragma once

#include "attributes.hpp"

#include <memory>
#include <span>

namespace shale::walk {

// Belongs to the thread that created it.
class StatRing {
  public:
    virtual ~StatRing() = default;
    // Symbolic links are not followed. Fills `out`, which is as long as `names`.
    virtual void stat(int dir_fd, std::span<const char* const> names,
                      std::span<Attributes> out) = 0;
};
// nullptr if the kernel refuses the ring.
std::unique_ptr<StatRing> create_stat_ring();

}  // namespace shale::walk
