// Extended attributes of an entry, by name under an open directory.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace shale::walk {

// One per thread. Remembers devices whose file system has no xattrs, so that each costs one call.
class XattrReader {
  public:
    // Sorted by name; empty if there are none or the entry is gone. An empty `name` means the
    // directory `dir_fd` itself. `where` is the directory's path, for errors.
    std::vector<Xattr> read(int dir_fd, const char* name, std::uint64_t dev,
                            const std::string& where);
    std::uint64_t calls() const { return calls_; }

  private:
    std::set<std::uint64_t> without_;
    std::vector<char> names_, value_;
    std::uint64_t calls_ = 0;
};

}  // namespace shale::walk
