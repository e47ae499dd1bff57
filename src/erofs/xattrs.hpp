// Extended attributes as the image holds them: those that several inodes have are stored once.
#pragma once

#include "format.hpp"

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shale::erofs {

class XattrTable {
  public:
    // Counts what the tree's entries have; contents' names begin with `prefix`. Unsupported, naming
    // the path, for what cannot be stored.
    XattrTable(const snapshot::Tree& tree, std::string_view prefix);

    // What follows the inode of an entry; empty without attributes.
    std::string body(const snapshot::Entry& entry) const;
    const std::string& shared_area() const { return shared_area_; }

  private:
    struct Use {
        std::uint64_t count = 0;
        std::uint32_t number = 0;  // of its place in the shared area
    };
    std::vector<Xattr> attributes_of(const snapshot::Entry& entry) const;
    void store_shared(const Xattr& xattr, Use& use);

    const std::string prefix_;  // of names of contents

    std::map<Xattr, Use> uses_;
    std::string shared_area_;
};

}  // namespace shale::erofs
