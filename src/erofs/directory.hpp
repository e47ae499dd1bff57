// The bytes of a directory: how many there are does not depend on where its entries' inodes lie.
#pragma once

#include "format.hpp"

#include <string>
#include <string_view>

namespace shale::erofs {

// Packs names, given in order, into blocks: as many as fit into each. A name is at most 255 bytes.
class DirectorySizer {
  public:
    void add(std::string_view name) {
        const auto need = sizeof(DirectoryEntry) + name.size();
        if (used_ + need > kBlock) {
            ++full_blocks_;
            used_ = 0;
        }
        used_ += need;
    }
    std::uint64_t bytes() const { return full_blocks_ * kBlock + used_; }

  private:
    std::uint64_t full_blocks_ = 0, used_ = 0;
};

class DirectoryWriter {
  public:
    void add(std::string_view name, std::uint64_t nid, std::uint8_t type);
    std::string finish() &&;

  private:
    void flush();

    std::string out_, records_, names_;
};

}  // namespace shale::erofs
