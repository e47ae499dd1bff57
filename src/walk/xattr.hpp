// Extended attributes of an entry, by name under an open directory.
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace shale::walk {

// One per thread. Remembers devices whose file system has no xattrs, so that each costs one call.
class XattrReader {
  public:
    // `keep` as Options::keep_xattr; it must outlive the reader.
    explicit XattrReader(const std::function<bool(std::string_view)>& keep) : keep_(keep) {}
    // Sorted by name; empty if there are none or the entry is gone. An empty `name` means the
    // directory `dir_fd` itself. `where` is the directory's path, for errors.
    std::vector<Xattr> read(int dir_fd, const char* name, std::uint64_t dev,
                            const std::string& where);
    std::uint64_t calls() const { return calls_; }

  private:
    const std::function<bool(std::string_view)>& keep_;
    std::set<std::uint64_t> without_;
    std::vector<char> names_, value_;
    std::uint64_t calls_ = 0;
};

}  // namespace shale::walk
