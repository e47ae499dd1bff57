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
#include <unordered_set>
#include <utility>
#include <vector>

namespace shale::store {

// A row of `steps`, for whoever looks at all of them.
struct StepRow {
    Digest key;
    StepRecord record;
    std::int64_t used_ns = 0;  // last hit, or creation
};

// Safe from any thread; processes exclude each other inside SQLite. Rows that do not decode are
// treated as absent.
class Database {
  public:
    // Creates or upgrades the schema; the caller holds the store's update lock. Unsupported if a
    // newer version wrote it, Corrupt if it is not a database.
    explicit Database(const std::string& path);
    ~Database();
    std::optional<StepRecord> find_step(const Digest& key);
    // Notes that a record was used; written down when the database closes, because a cached build
    // looks up many and should wait for none.
    void touch_step(const Digest& key, std::int64_t now_ns);
    std::vector<StepRow> steps();  // those that decode
    void put_step(const Digest& key, const StepRecord& record);
    std::optional<Digest> tree_of_chain(const Digest& chain);
    void put_chain(const Digest& chain, const Digest& tree);
    std::optional<Digest> diff_id_of(const Digest& blob);
    void put_diff_id(const Digest& blob, const Digest& diff_id);
    std::vector<std::pair<Digest, Digest>> chains();  // chain, tree
    // One transaction: these step keys, every chain that is not in `chains`, every layer whose blob
    // is not in `blobs`.
    using Digests = std::unordered_set<Digest, DigestHash>;
    void forget(const std::vector<Digest>& step_keys, const Digests& chains, const Digests& blobs);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::store
