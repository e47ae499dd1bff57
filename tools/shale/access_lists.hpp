// Which files of a repository's images were read first, kept in the store by `shale mount
// --record` for the mounts after it.
#pragma once

#include <shale/base.hpp>
#include <shale/oci.hpp>

#include <string>
#include <vector>

namespace shale::cli {

// One list per repository, whatever the tag: contents are named by digest, and most of them are the
// same from version to version.
class AccessLists {
  public:
    explicit AccessLists(const std::string& store_root);
    // Empty if there is none. One that cannot be read is none, which is said.
    std::vector<Digest> load(const oci::Reference& name) const;
    // In place of an earlier one; the longest unchanged make room.
    void save(const oci::Reference& name, const std::vector<Digest>& contents) const;

  private:
    std::string path_of(const oci::Reference& name) const;
    void make_room() const;
    std::string directory_;
};

}  // namespace shale::cli
