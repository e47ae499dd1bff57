// shale.db: what the store remembers beyond its files. Only a cache: everything in it can be found
// out again, so a lost or deleted database costs time and nothing else.
//
//   steps   key -> StepRecord                      put by the build
//   chains  chain of DiffIDs -> tree digest        merged images
//   layers  blob digest -> DiffID                  blobs whose tar was read to its end and hashed
#pragma once

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <memory>
#include <optional>
#include <string>

namespace shale::store {

// Safe from any thread; processes exclude each other inside SQLite. Rows that do not decode are
// treated as absent.
class Database {
  public:
    // Creates or upgrades the schema; the caller holds the store's update lock. Unsupported if a
    // newer version wrote it, Corrupt if it is not a database.
    explicit Database(const std::string& path);
    ~Database();
    std::optional<StepRecord> find_step(const Digest& key);
    void put_step(const Digest& key, const StepRecord& record);
    std::optional<Digest> tree_of_chain(const Digest& chain);
    void put_chain(const Digest& chain, const Digest& tree);
    std::optional<Digest> diff_id_of(const Digest& blob);
    void put_diff_id(const Digest& blob, const Digest& diff_id);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::store
