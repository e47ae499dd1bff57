// Tags: the named descriptors of index.json, which is their only home.
#pragma once

#include "durable.hpp"
#include "index_file.hpp"

#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::store {

// Safe from any thread and against other processes: changes happen under an exclusive lock on
// `lock_path`, readers need none because the file is replaced as a whole.
class Tags {
  public:
    Tags(const std::string& root, std::string lock_path, Session& session);
    // Writes an empty index if there is none. The caller holds the lock.
    void create();
    void set(const oci::Reference& name, const oci::Descriptor& manifest);
    bool remove(const oci::Reference& name);
    // Images without a name; see Store.
    void keep(const oci::Descriptor& manifest);
    bool forget(const Digest& manifest);
    std::vector<oci::Descriptor> unnamed() const;
    // Whatever the index lists, also what other tools put there and we have no name for.
    std::vector<oci::Descriptor> all(bool with_unnamed) const;
    std::optional<oci::Descriptor> find(const oci::Reference& name) const;
    std::vector<ImageRecord> list() const;  // sorted by name

  private:
    IndexFile read() const;
    void write(const IndexFile& index);

    std::string path_, lock_path_;
    Session& session_;
};

}  // namespace shale::store
