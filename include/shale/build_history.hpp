// store: builds.db, what is remembered of the builds that ran: one document each, the logs of its
// steps, and the trees of the directories it read. Layout: docs/formats/store.md.
//
// What a document says is the build's business (build_record.hpp); here it is bytes, kept
// compressed, bounded in number and in size, the oldest going first. Nothing else in the store
// depends on it: a lost file costs the history and no build.
#pragma once

#include <shale/snapshot.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shale::store {

struct BuildRow {
    std::string id;  // lower-case hex
    std::int64_t started_ns = 0;
    std::string document;
};

// Safe from any thread; processes exclude each other inside SQLite. The file is opened when it is
// first needed, and made anew if it is damaged or of another version.
class BuildHistory {
  public:
    struct Limits {
        std::int64_t most_builds = 200;
        std::int64_t most_bytes = 256ll << 20;       // compressed, of everything
        std::uint64_t most_tree_bytes = 512u << 20;  // serialised; larger ones are not kept
    };
    static constexpr std::size_t kMostDocumentBytes = 16u << 20;
    static constexpr std::size_t kMostLogBytes = 4u << 20;  // of one step

    // `store` must outlive it.
    explicit BuildHistory(Store& store) : BuildHistory(store, Limits()) {}
    BuildHistory(Store& store, const Limits& limits);
    ~BuildHistory();

    // In one transaction, and then what is beyond the limits goes, but never this build itself.
    // Logs are by the number of their step. A tree that an earlier build left is not kept twice.
    void put(const BuildRow& build, const std::map<std::uint32_t, std::string>& logs,
             const std::vector<const snapshot::Tree*>& trees);
    std::vector<BuildRow> list(std::size_t most = 1000);  // newest first
    std::optional<BuildRow> find(const std::string& id);
    std::optional<std::string> log(const std::string& id, std::uint32_t step);
    // Null if no build that is remembered has it.
    std::shared_ptr<const snapshot::Tree> tree(const Digest& digest);
    bool forget(const std::string& id);  // false if it is not there

  private:
    struct State;
    State& state();  // the next two: under mutex_
    template <typename Body>
    auto guarded(Body&& body);
    void drop();

    const std::string path_;
    const Limits limits_;
    std::mutex mutex_;
    std::unique_ptr<State> state_;  // guarded by mutex_
};

}  // namespace shale::store
